"""Run CUDA kernels on a CPU: the kernel source is compiled as C++ with `device.hpp` and launched over a grid.

There are two ways in. `EmulatedLauncher` (`launcher`; the fixture `emulated`) is a launcher like those for a device, so
that an operator's own launching code runs on CPU tensors: shapes, strides, grids and kernels are tested together.
`Module` launches one kernel by hand. Every kernel can run with its threads in the opposite order, which finds missing
barriers; an access outside its tensors is an error. Speed, races between blocks and the order of floating-point atomics
cannot be tested.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(')
DYNAMIC = re.compile(r"extern\s+__shared__\s+((?:__align__\s*\(\s*\d+\s*\)\s+)?[\w ]+?)\s+(\w+)\s*\[\s*\]\s*;")
SHARED_BYTES = 227 * 1024
"""Shared memory of a block on the largest device; the size of each dynamically sized array."""


class CompileError(Exception):
    """The compiler refused a kernel; holds its message."""


class LaunchError(Exception):
    """A kernel was launched wrongly, touched what is not its own, or waits for ever."""


def compiler() -> str | None:
    """The C++ compiler, or None."""
    return shutil.which("g++") or shutil.which("clang++")


@functools.cache
def _folder() -> Path:
    """Where this process keeps what it compiled."""
    folder = tempfile.TemporaryDirectory(prefix="vsvfi-kernels-", ignore_cleanup_errors=True)
    _KEPT.append(folder)
    return Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def remove_builds() -> None:
    """Delete what was compiled; what is loaded stays usable."""
    while _KEPT:
        _KEPT.pop().cleanup()
    _folder.cache_clear()


@functools.cache
def _library(source: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """The kernels of a text, compiled and loaded.

    Raises:
        CompileError: the compiler refused it.
    """
    program = compiler()
    assert program is not None
    arrays = "\n".join(
        f"extern __shared__ {kind} {name}[]; thread_local {kind} {name}[{SHARED_BYTES} / sizeof(*{name})];"
        for kind, name in DYNAMIC.findall(source)
    )
    launchers = "\n".join(f"EMULATE({name})" for name in KERNEL.findall(source))
    text = f'#include "{Path(__file__).with_name("device.hpp").as_posix()}"\n{source}\n{arrays}\n{launchers}\n'
    place = _folder() / hashlib.sha256(repr((text, options)).encode()).hexdigest()[:16]
    place.with_suffix(".cpp").write_text(text, encoding="utf-8")
    flags = ("-O1", "-w", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off", "-U_FORTIFY_SOURCE")
    command = [program, *flags, *options, "-o", str(place.with_suffix(".so")), str(place.with_suffix(".cpp"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise CompileError(done.stderr)
    return ctypes.CDLL(str(place.with_suffix(".so")))


class Memory:
    """Copies of the memory behind tensors, one for each storage, so that what is shared stays shared."""

    def __init__(self, library: ctypes.CDLL, tensors: Sequence[torch.Tensor], *, at_end: bool) -> None:
        self._library = library
        library.emulation_guarded.restype = ctypes.c_void_p
        self._copies: dict[int, tuple[int, torch.UntypedStorage, ctypes.Array[ctypes.c_size_t]]] = {}
        for storage in (tensor.untyped_storage() for tensor in tensors):
            if storage.data_ptr() not in self._copies:
                mapping = (ctypes.c_size_t * 2)()
                place = library.emulation_guarded(ctypes.c_size_t(storage.nbytes()), int(at_end), mapping)
                self._copies[storage.data_ptr()] = place, storage, mapping
                ctypes.memmove(place, storage.data_ptr(), storage.nbytes())

    def address(self, tensor: torch.Tensor | None) -> np.uint64:
        """Where a tensor's first element lies now."""
        if tensor is None:
            return np.uint64(0)
        start = tensor.untyped_storage().data_ptr()
        return np.uint64(self._copies[start][0] + tensor.storage_offset() * tensor.itemsize)

    def write_back(self) -> None:
        """Bring what the kernel wrote to the tensors."""
        for place, storage, _ in self._copies.values():
            ctypes.memmove(storage.data_ptr(), place, storage.nbytes())

    def release(self) -> None:
        """Give the copies up."""
        for _, _, mapping in self._copies.values():
            self._library.emulation_release(mapping)


class Module:
    """The kernels of one text.

    Args:
        source: CUDA C++; its kernels are `extern "C" __global__ void`.
        options: compiler options, -std and -D.
    """

    def __init__(self, source: str, options: Sequence[str] = ("-std=c++17",)) -> None:
        self._library = _library(source, tuple(options))

    def launch(
        self,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[np.generic | torch.Tensor | None],
        *,
        backwards: bool = False,
    ) -> None:
        """Run a kernel to its end, on copies of its tensors between protected pages.

        Each copy ends at the page behind it, or starts at the page before it if `backwards`.

        Args:
            name: the kernel.
            grid: blocks along x, y, z.
            block: threads along x, y, z.
            arguments: numbers as NumPy scalars of the kernel's own width; pointers as CPU tensors, uint64 or None.
            backwards: the last block and thread first.

        Raises:
            LaunchError: arguments that do not fit, an impossible grid, a barrier that not all threads reach, or memory
            beside the tensors touched.
        """
        memory = Memory(self._library, [a for a in arguments if isinstance(a, torch.Tensor)], at_end=not backwards)
        try:
            self._launch(
                name,
                grid,
                block,
                [memory.address(a) if a is None or isinstance(a, torch.Tensor) else a for a in arguments],
                backwards,
            )
            memory.write_back()
        finally:
            memory.release()

    def _launch(
        self,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        values: Sequence[np.generic],
        backwards: bool,
    ) -> None:
        """Run a kernel on raw arguments."""
        kept = [np.array(value) for value in values]
        count = len(kept)
        places = (ctypes.c_void_p * max(count, 1))(*(array.ctypes.data for array in kept))
        sizes = (ctypes.c_int * max(count, 1))(*(array.itemsize for array in kept))
        kinds = "".join(array.dtype.kind for array in kept).encode()
        function = getattr(self._library, f"emulate_{name}")
        function.restype = ctypes.c_char_p
        fault = function((ctypes.c_uint * 6)(*grid, *block), count, sizes, kinds, places, int(backwards))
        if fault is not None:
            raise LaunchError(f"{name}: {fault.decode()}")
