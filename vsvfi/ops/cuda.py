"""Source files and launchers of the operators' CUDA kernels.

There are two launchers, `nvrtc` and `cupy`, imported on demand.

`element.cuh` is prepended to every kernel file, which needs no further header and takes its types as macros. Launching
a loaded kernel neither allocates nor synchronises, so CUDA graphs can capture it.
"""

from __future__ import annotations

import functools
import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

TYPES = {torch.float32: "float", torch.float16: "float16", torch.bfloat16: "bfloat16"}
"""The element types that kernels support, with their names in macros."""

type Argument = Tensor | np.int32 | np.int64 | np.float32 | None
"""A kernel argument: a tensor or None as a pointer, or a number of explicit width, which the device does not check."""

type Size = tuple[int, int, int]
"""Blocks of a grid or threads of a block, along x, y, z."""


class KernelFile:
    """One .cu file; its kernels are `extern "C"`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @functools.cached_property
    def source(self) -> str:
        """The code to compile: the element types, then the file, in one text so that disk caches detect any change."""
        texts = (Path(__file__).with_name("element.cuh"), self.path)
        return "".join(
            f'#line 1 "{file.parent.name}/{file.name}"\n{file.read_text(encoding="utf-8")}' for file in texts
        )


class Launcher[Module, Function](ABC):
    """Compiles kernel files and launches their kernels on torch's current stream.

    Each (file, macros, device) is loaded once per process.
    """

    def __init__(self) -> None:
        self._modules: dict[tuple[Path, tuple[str, ...], int], Module] = {}
        self._functions: dict[tuple[Path, tuple[str, ...], int, str], Function] = {}
        self._lock = Lock()

    def launch(
        self,
        file: KernelFile,
        name: str,
        arguments: Sequence[Argument],
        *,
        device: torch.device,
        grid: Size,
        block: Size,
        types: Mapping[str, torch.dtype],
    ) -> None:
        """Launch a kernel on torch's current stream of `device`; does nothing for an empty grid.

        Args:
            file: where the kernel is.
            name: of the kernel.
            arguments: in the kernel's order.
            device: of all the tensors.
            grid: blocks along x, y, z.
            block: threads along x, y, z.
            types: the element type behind each macro; one of `TYPES`.

        Raises:
            ValueError: a tensor is on another device.
            RuntimeError: the kernel cannot be compiled or loaded, or is not loaded during the capture of a CUDA graph.
        """
        for argument in arguments:
            if isinstance(argument, Tensor) and argument.device != device:
                raise ValueError(f"{name}: a tensor is on {argument.device}, must be on {device} like the others")
        if 0 not in grid:
            index = device.index or 0
            self._start(self._function(file, name, compile_options(types), index), arguments, index, grid, block)

    def _function(self, file: KernelFile, name: str, options: tuple[str, ...], device: int) -> Function:
        """Return a kernel, compiled and loaded on first use."""
        function = self._functions.get((file.path, options, device, name))
        if function is None:
            if capturing():
                raise RuntimeError(
                    f"{name}: not loaded yet, and a CUDA graph is being captured; "
                    "run it once (warm_up) before the capture"
                )
            with self._lock:
                module = self._modules.get((file.path, options, device))
                if module is None:
                    module = self._modules[file.path, options, device] = self._load(file.source, options, device)
                function = self._functions[file.path, options, device, name] = self._get(module, name, device)
        return function

    @abstractmethod
    def _load(self, source: str, options: tuple[str, ...], device: int) -> Module:
        """Compile a source and load it on a device."""

    @abstractmethod
    def _get(self, module: Module, name: str, device: int) -> Function:
        """Return a kernel of a module, ready to launch."""

    @abstractmethod
    def _start(self, function: Function, arguments: Sequence[Argument], device: int, grid: Size, block: Size) -> None:
        """Queue a kernel on torch's current stream of the device."""


def capturing() -> bool:
    """Whether the current stream is being captured into a CUDA graph."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def compile_options(types: Mapping[str, torch.dtype]) -> tuple[str, ...]:
    """Compiler options: the language, and each macro's element type."""
    return ("-std=c++17", *(f"-D{macro}={TYPES[dtype]}" for macro, dtype in types.items()))


@functools.cache
def launcher(backend: str) -> Launcher[object, object]:
    """The launcher of a backend, "nvrtc" or "cupy"."""
    module = importlib.import_module({"nvrtc": "vsvfi.ops.nvrtc", "cupy": "vsvfi.ops.cupy_launcher"}[backend])
    made: Launcher[object, object] = module.launcher()
    return made


def raw(argument: Argument) -> np.generic:
    """Convert a kernel argument to a number of its width. Only pointers are unsigned."""
    if argument is None:
        return np.uint64(0)
    return np.uint64(argument.data_ptr()) if isinstance(argument, Tensor) else argument
