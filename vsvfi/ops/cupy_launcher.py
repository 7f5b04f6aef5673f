"""CUDA kernels compiled and launched by CuPy, which also keeps what it compiled on disk: where torch brings no NVRTC or
no cuda-bindings.
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
            _ = kernel.num_regs  # loads it now, while no other thread can and no graph is captured
        return kernel

    def _start(self, function: RawKernel, arguments: Sequence[Argument], device: int, grid: Size, block: Size) -> None:
        cupy = importlib.import_module("cupy")
        # CuPy remembers device and stream by thread, and callbacks run on many threads: both are named at every launch.
        with (
            cupy.cuda.Device(device),
            _stream(cupy, torch.cuda.current_stream(torch.device("cuda", device)).cuda_stream),
        ):
            function(grid, block, tuple(raw(argument) for argument in arguments))


class _Handle:
    """A stream that CUDA's stream protocol can read."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle


def _stream(cupy: ModuleType, handle: int) -> AbstractContextManager[object]:
    """CuPy's view of a stream that is not its own."""
    adopt = getattr(cupy.cuda.Stream, "from_external", None)
    stream = (
        cupy.cuda.ExternalStream(handle) if adopt is None else adopt(_Handle(handle))
    )  # before CuPy 14; since 14 the former is deprecated
    return cast("AbstractContextManager[object]", stream)


def launcher() -> CupyLauncher:
    """The launcher of this process."""
    return CupyLauncher()
