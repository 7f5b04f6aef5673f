"""Compile and launch CUDA kernels with CuPy, where NVRTC or cuda-bindings are missing.

CuPy also caches compiled kernels on disk.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Protocol, cast

import numpy as np
import torch

from vsvfi.ops.cuda import Argument, Launcher, Size, raw


class RawKernel(Protocol):
    """A kernel as CuPy has it."""

    num_regs: int

    def __call__(self, grid: Size, block: Size, arguments: tuple[np.generic, ...]) -> None: ...


class RawModule(Protocol):
    """A compiled file as CuPy has it."""

    def get_function(self, name: str) -> RawKernel: ...


class CupyLauncher(Launcher[RawModule, RawKernel]):
    """See `vsvfi.ops.cuda.Launcher`."""

    def _load(self, source: str, options: tuple[str, ...], device: int) -> RawModule:
        cupy = importlib.import_module("cupy")
        with cupy.cuda.Device(device):
            module: RawModule = cupy.RawModule(code=source, options=options)
            return module

    def _get(self, module: RawModule, name: str, device: int) -> RawKernel:
        with importlib.import_module("cupy").cuda.Device(device):
            kernel = module.get_function(name)
            _ = kernel.num_regs  # forces loading now, under the lock and outside of graph capture
        return kernel

    def _start(self, function: RawKernel, arguments: Sequence[Argument], device: int, grid: Size, block: Size) -> None:
        cupy = importlib.import_module("cupy")
        # CuPy's current device and stream are per thread, and callbacks run on many threads: set both for every launch.
        with (
            cupy.cuda.Device(device),
            _stream(cupy, torch.cuda.current_stream(torch.device("cuda", device)).cuda_stream),
        ):
            function(grid, block, tuple(raw(argument) for argument in arguments))


class _Handle:
    """A stream handle that implements CUDA's stream protocol."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle


def _stream(cupy: ModuleType, handle: int) -> AbstractContextManager[object]:
    """Wrap an external stream for CuPy."""
    adopt = getattr(cupy.cuda.Stream, "from_external", None)
    # Before CuPy 14; since 14 the former is deprecated
    stream = cupy.cuda.ExternalStream(handle) if adopt is None else adopt(_Handle(handle))
    return cast("AbstractContextManager[object]", stream)


def launcher() -> CupyLauncher:
    """The launcher of this process."""
    return CupyLauncher()
