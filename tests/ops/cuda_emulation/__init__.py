"""CUDA kernels on a CPU: the very text that a device would run, compiled as C++ behind `device.hpp` and launched over a grid. Knows no kernel.

Two ways in. The fixture `emulated_cupy` (tests/ops/conftest.py) puts a stand-in for CuPy in place, so that an operator's own launching code runs on CPU
tensors: shapes, strides, grids and kernels are tested together. `Module` launches one kernel by hand. Every kernel runs on request with its threads in the
opposite order, which finds missing barriers. What it cannot show: speed, races between blocks, and the order of floating-point atomics.
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
"""What the largest device gives a block; the room of each dynamically sized array."""


class CompileError(Exception):
    """The compiler refused a kernel; holds what it said."""


class LaunchError(Exception):
    """A kernel was launched wrongly, or its threads wait for one another for ever."""


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
        f"extern __shared__ {kind} {name}[]; thread_local {kind} {name}[{SHARED_BYTES} / sizeof(*{name})];" for kind, name in DYNAMIC.findall(source)
    )
    launchers = "\n".join(f"EMULATE({name})" for name in KERNEL.findall(source))
    text = f'#include "{Path(__file__).with_name("device.hpp").as_posix()}"\n{source}\n{arrays}\n{launchers}\n'
    place = _folder() / hashlib.sha256(repr((text, options)).encode()).hexdigest()[:16]
    place.with_suffix(".cpp").write_text(text, encoding="utf-8")
    flags = ("-O1", "-w", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off")
    command = [program, *flags, *options, "-o", str(place.with_suffix(".so")), str(place.with_suffix(".cpp"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise CompileError(done.stderr)
    return ctypes.CDLL(str(place.with_suffix(".so")))


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
        """Run a kernel to its end.

        Args:
            name: the kernel.
            grid: blocks along x, y, z.
            block: threads along x, y, z.
            arguments: numbers as NumPy scalars of the kernel's own width; pointers as CPU tensors, uint64 or None.
            backwards: the last block and thread first.

        Raises:
            LaunchError: arguments that do not fit, an impossible grid, or a barrier that not all threads reach.
        """
        values = [np.uint64(0 if a is None else a.data_ptr()) if a is None or isinstance(a, torch.Tensor) else a for a in arguments]
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
