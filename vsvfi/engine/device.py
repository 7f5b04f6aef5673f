"""Resolve devices and precisions, report memory, and set torch flags while a network runs.

Torch's global state is restored whenever no network is running.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from vsvfi.errors import ArgumentError, DeviceError
from vsvfi.options import Precision

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_GIB = 1 << 30


def resolve_device(name: str) -> torch.device:
    """Resolve a device name: "auto" is CUDA, else XPU, else MPS, else the CPU.

    Raises:
        DeviceError: there is no such device on this machine.
    """
    if name == "auto":
        name = next((kind for kind in ("cuda", "xpu", "mps") if _count(kind)), "cpu")
    device = torch.device(name)
    if device.type == "cpu":
        return device
    count = _count(device.type)
    if not count:
        raise DeviceError(
            name,
            f"torch {torch.__version__} sees no {device.type} device here",
            "use device='cpu', or install a torch build and a driver for it",
        )
    index = device.index or 0
    if index >= count:
        raise DeviceError(
            name,
            f"there are {count} {device.type} devices, numbered from 0",
            f"use {device.type}:0 to {device.type}:{count - 1}",
        )
    return torch.device(device.type, index)


def _count(kind: str) -> int:
    """How many devices of a kind torch sees."""
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    module = getattr(torch, kind)
    return int(module.device_count()) if module.is_available() else 0


def resolve_precision(precision: Precision, device: torch.device, *, half: bool, bfloat: bool = False) -> torch.dtype:
    """Resolve the type to compute in.

    "auto" is fp16 on CUDA (but not on GTX 16xx) and XPU where the model allows it (`half`), bf16 on a CPU with bfloat16
    instructions where the model's results are as good in it (`bfloat`), else fp32.

    Raises:
        ArgumentError: fp16 on the CPU, or for a model that exceeds its tolerance in fp16.
    """
    if precision == "auto":
        if device.type == "cpu":
            return torch.bfloat16 if bfloat and multiplies_bfloat16() else torch.float32
        return torch.float16 if half and device.type in ("cuda", "xpu") and _computes_half(device) else torch.float32
    if precision == "fp16" and device.type == "cpu":
        raise ArgumentError(
            "precision",
            precision,
            "is slow and incomplete on the CPU",
            "use 'bf16' or 'fp32' on the CPU",
        )
    if precision == "fp16" and not half:
        raise ArgumentError("precision", precision, "is not accurate enough for this model", "use 'fp32' or 'bf16'")
    return _DTYPES[precision]


def _computes_half(device: torch.device) -> bool:
    """Whether the device's half precision is fast and right; cuDNN's can return NaN on Turing without tensor cores."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return True
    return "GTX 16" not in torch.cuda.get_device_name(device)


def multiplies_bfloat16() -> bool:
    """Whether this CPU has bfloat16 multiplication (AMX or AVX-512 BF16); without it fp32 is faster."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def default_cache(device: torch.device) -> int:
    """Default cache size in bytes.

    A third of the GPU's memory on CUDA, else an eighth of the machine's, at most 8 GiB.
    """
    return memory(device) // 3 if device.type == "cuda" else min(8 * _GIB, _physical_memory() // 8)


def memory(device: torch.device) -> int:
    """Total memory in bytes: the GPU's own on CUDA, else the machine's."""
    return int(torch.cuda.get_device_properties(device).total_memory) if device.type == "cuda" else _physical_memory()


def _physical_memory() -> int:
    """Total RAM in bytes; 16 GiB if unknown."""
    try:
        if sys.platform == "win32":
            return _windows_memory()
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        found = 0
    return found if found > 0 else 16 * _GIB


def _windows_memory() -> int:
    """Total RAM in bytes by Windows' GlobalMemoryStatusEx."""
    status = (ctypes.c_uint64 * 8)()  # two numbers of 32 bits (length, load), then seven of 64; the second is wanted
    status[0] = ctypes.sizeof(status)
    if not ctypes.WinDLL("kernel32").GlobalMemoryStatusEx(status):  # type: ignore[attr-defined,unused-ignore]
        raise OSError("GlobalMemoryStatusEx failed")
    return int(status[1])


def default_streams(device: torch.device) -> int:
    """Default number of frames to compute concurrently: 2, if there are enough threads.

    On a GPU, copies then overlap the computation. On a CPU, two frames with half of the threads each take little more
    time than one frame with all threads, which mostly wait for each other in a small network.
    """
    return min(2, torch.get_num_threads()) if device.type == "cpu" else 2


def describe(device: torch.device) -> str:
    """The device's display name: "cpu", or "cuda:0 (name)"."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def wait_for(device: torch.device) -> None:
    """Wait until all work on the device is done."""
    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).synchronize()


def release(device: torch.device) -> None:
    """Release cached device memory to the system."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type in ("xpu", "mps"):
        getattr(torch, device.type).empty_cache()


def limit_threads(threads: int) -> None:
    """Set torch's intra-op thread count for the calling thread only.

    Raises:
        RuntimeError: the temporary helper thread cannot be started; nothing is changed then.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    # set_num_threads also sets the default for new threads; a temporary thread resets it.
    try:
        other = threading.Thread(target=torch.set_num_threads, args=(before,))
        other.start()
    except BaseException:
        torch.set_num_threads(before)
        raise
    other.join()


@contextlib.contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Set torch's thread count for the calling thread while active, without starting another thread.

    Threads started meanwhile inherit the same count.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


type _Flag = tuple[Any, str, object]
"""An object of torch's, the name of one of its attributes, and a value for it."""

_flags_lock = threading.RLock()  # a collection of garbage may close a session at any point
_flags_users: dict[str, int] = {}
_flags_before: dict[str, list[_Flag]] = {}


@contextlib.contextmanager
def inference(device: torch.device) -> Iterator[None]:
    """While active: no gradients, no autocast, full fp32 precision and deterministic kernels.

    Any number of threads may be inside. The process's own settings are restored when the last one leaves.
    """
    with torch.inference_mode(), _without_autocast(device.type):
        _enter_flags(device.type)
        try:
            with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
                yield
        finally:
            _leave_flags(device.type)


@contextlib.contextmanager
def _without_autocast(kind: str) -> Iterator[None]:
    """Disable autocast for this thread, on the CPU and devices of this kind, in case the caller enabled it."""
    with contextlib.ExitStack() as stack:
        for device_type in {"cpu", kind}:
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        yield


def _flags(kind: str) -> list[_Flag]:
    """Process-wide flags to set while a network runs on this kind of device."""
    backends: Any = torch.backends
    if kind == "cuda":
        matmul, cudnn = backends.cuda.matmul, backends.cudnn
        # torch has two sets of names for these, and refuses to read the older one where the two disagree: both are set.
        exact: list[_Flag] = [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)]
        exact += [(part, "fp32_precision", "ieee") for part in (matmul, cudnn.conv, cudnn.rnn)]
        return [*exact, (cudnn, "benchmark", False), (cudnn, "deterministic", True)]
    if kind == "cpu":
        return [(part, "fp32_precision", "ieee") for part in (backends.mkldnn.matmul, backends.mkldnn.conv)]
    return []


def _enter_flags(kind: str) -> None:
    with _flags_lock:
        if not _flags_users.get(kind):
            flags = _flags(kind)
            before = [(part, name, _read(part, name)) for part, name, _ in flags]
            changed = 0
            try:
                for part, name, value in flags:
                    setattr(part, name, value)
                    changed += 1
            except BaseException:
                _restore(before[:changed])
                raise
            _flags_before[kind] = before
        _flags_users[kind] = _flags_users.get(kind, 0) + 1


def _leave_flags(kind: str) -> None:
    with _flags_lock:
        _flags_users[kind] -= 1
        if not _flags_users[kind]:
            _restore(_flags_before.pop(kind))


def _read(part: Any, name: str) -> object:
    """A flag's value; None if torch refuses to read it because its old and new names disagree."""
    try:
        return getattr(part, name)
    except RuntimeError:
        return None


def _restore(before: Sequence[_Flag]) -> None:
    for part, name, value in before:  # in the order of setting: the older names change what the newer ones say
        if value is not None:
            setattr(part, name, value)
