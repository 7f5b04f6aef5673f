"""Device names to devices, precision rules, memory figures, and torch flags that hold only while a network runs.

Knows no network; torch's global state is as before whenever nothing of ours is running.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import torch

from vsvfi.errors import ArgumentError, DeviceError
from vsvfi.options import Precision

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_GIB = 1 << 30


def resolve_device(name: str) -> torch.device:
    """A device that exists here: "auto" is CUDA, else XPU, else MPS, else the CPU.

    Raises:
        DeviceError: there is no such device here.
    """
    if name == "auto":
        name = next((kind for kind in ("cuda", "xpu", "mps") if _count(kind)), "cpu")
    device = torch.device(name)
    if device.type == "cpu":
        return device
    count = _count(device.type)
    if not count:
        raise DeviceError(
            name, f"torch {torch.__version__} sees no {device.type} device here", "use device='cpu', or install a torch build and a driver for it"
        )
    index = device.index or 0
    if index >= count:
        raise DeviceError(name, f"there are {count} {device.type} devices, numbered from 0", f"use {device.type}:0 to {device.type}:{count - 1}")
    return torch.device(device.type, index)


def _count(kind: str) -> int:
    """How many devices of a kind torch sees."""
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    module = getattr(torch, kind)
    return int(module.device_count()) if module.is_available() else 0


def resolve_precision(precision: Precision, device: torch.device, *, half: bool, bfloat: bool = False) -> torch.dtype:
    """The type to compute in: "auto" is fp16 on CUDA and XPU where the model allows it (`half`), bf16 on a CPU that multiplies it where the model's
    pictures are as good in it (`bfloat`), fp32 elsewhere.

    Raises:
        ArgumentError: fp16 on the CPU, which has no fast or complete half arithmetic, or on a model that does not hold its tolerance in it.
    """
    if precision == "auto":
        if device.type == "cpu":
            return torch.bfloat16 if bfloat and multiplies_bfloat16() else torch.float32
        return torch.float16 if half and device.type in ("cuda", "xpu") else torch.float32
    if precision == "fp16" and device.type == "cpu":
        raise ArgumentError("precision", precision, "the CPU computes half precision slowly and incompletely", "use 'bf16' or 'fp32' on the CPU")
    if precision == "fp16" and not half:
        raise ArgumentError("precision", precision, "this model does not hold its tolerance in fp16", "use 'fp32' or 'bf16'")
    return _DTYPES[precision]


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for products of bfloat16 (AMX, or AVX-512 BF16), without which it is slower than fp32."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def default_cache(device: torch.device) -> int:
    """Bytes the caches may hold if nobody says otherwise: a third of a GPU's memory, an eighth of the machine's (at most 8 GiB) on the CPU."""
    return memory(device) // 3 if device.type == "cuda" else min(8 * _GIB, _physical_memory() // 8)


def memory(device: torch.device) -> int:
    """Bytes of memory that a device has: a GPU's own, else the machine's."""
    return int(torch.cuda.get_device_properties(device).total_memory) if device.type == "cuda" else _physical_memory()


def _physical_memory() -> int:
    """Bytes of RAM; 16 GiB where the system does not say."""
    try:
        words = Path("/proc/meminfo").read_text(encoding="ascii").split()
        return int(words[words.index("MemTotal:") + 1]) * 1024
    except (OSError, ValueError):
        return 16 * _GIB


def default_streams(device: torch.device) -> int:
    """How many frames to compute at the same time if nobody says otherwise: 2, where there are threads for them.

    On a GPU copies overlap computing. On a CPU two frames on half of its threads each take little more time than one on all of them, which mostly wait for
    each other in a small network.
    """
    return min(2, torch.get_num_threads()) if device.type == "cpu" else 2


def describe(device: torch.device) -> str:
    """The device as people call it: "cpu", or "cuda:0 (name)"."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def release(device: torch.device) -> None:
    """Give cached device memory back to the system."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type in ("xpu", "mps"):
        getattr(torch, device.type).empty_cache()


def limit_threads(threads: int) -> None:
    """Let torch use so many threads for what the calling thread asks of it; all other threads stay as they were, those to come as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    # It also set what threads to come begin with, which is set back from one that is not needed any more.
    other = threading.Thread(target=torch.set_num_threads, args=(before,))
    other.start()
    other.join()


_flags_lock = threading.Lock()
_flags_users = 0
_flags_before: tuple[bool, bool, bool, bool] = (False, False, False, False)


@contextlib.contextmanager
def inference(device: torch.device) -> Iterator[None]:
    """No gradients, true fp32 (no TF32), and cuDNN kernels that give the same bits in every process, while inside; any number of threads may be inside."""
    with torch.inference_mode():
        if device.type != "cuda":
            yield
            return
        _enter_flags()
        try:
            with torch.cuda.device(device):
                yield
        finally:
            _leave_flags()


def _enter_flags() -> None:
    global _flags_users, _flags_before
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    with _flags_lock:
        if _flags_users == 0:
            _flags_before = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic)
            cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic = False, False, False, True
        _flags_users += 1


def _leave_flags() -> None:
    global _flags_users
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    with _flags_lock:
        _flags_users -= 1
        if _flags_users == 0:
            cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic = _flags_before
