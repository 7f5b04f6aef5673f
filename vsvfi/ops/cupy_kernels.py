"""CUDA kernels of this package, compiled at run time by CuPy and launched on torch's current stream. Knows no operator.

A kernel file sees `element.cuh` before itself, so it needs no header, and takes its types as macros. Each (file, macros, device) is compiled once a process
(CuPy also keeps it on disk). A launch of what is compiled allocates nothing and waits for nothing, so CUDA graphs can capture it; CuPy is imported by the
first launch.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

TYPES = {torch.float32: "float", torch.float16: "float16", torch.bfloat16: "bfloat16"}
"""The element types that kernels know, as their macros name them."""

_kernels: dict[tuple[Path, str, tuple[str, ...], int | None], Any] = {}
_lock = threading.Lock()

type Argument = Tensor | np.int32 | np.int64 | np.float32 | None
"""What a kernel takes: a tensor or None as a pointer, numbers with their width, since nothing on the device checks it."""


class KernelFile:
    """One .cu file and its kernels, by device and macros.

    Args:
        path: the file; its kernels are `extern "C"`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def source(self) -> str:
        """What is compiled: the element types, then the file. One text, since CuPy's cache on disk would not notice a changed header."""
        texts = (Path(__file__).with_name("element.cuh"), self.path)
        return "".join(f'#line 1 "{file.parent.name}/{file.name}"\n{file.read_text(encoding="utf-8")}' for file in texts)

    def launch(
        self,
        name: str,
        arguments: Sequence[Argument],
        *,
        device: torch.device,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        types: Mapping[str, torch.dtype],
    ) -> None:
        """Start a kernel on torch's current stream of `device`; an empty grid is nothing to do.

        Args:
            name: the kernel's name in the file.
            arguments: in the kernel's order.
            device: where all the tensors lie.
            grid: blocks along x, y, z.
            block: threads along x, y, z.
            types: the element type behind each macro; one of `TYPES`.

        Raises:
            ValueError: a tensor lies on another device.
        """
        for argument in arguments:
            if isinstance(argument, Tensor) and argument.device != device:
                raise ValueError(f"{name}: a tensor on {argument.device}, must be on {device} like the others")
        if 0 in grid:
            return
        cupy = importlib.import_module("cupy")
        # CuPy remembers device and stream by thread, and callbacks run on many threads: both are said at every launch.
        with cupy.cuda.Device(device.index), _stream(cupy, torch.cuda.current_stream(device).cuda_stream):
            kernel = self._kernel(cupy, name, compile_options(types), device.index)
            kernel(grid, block, tuple(_raw(argument) for argument in arguments))

    def _kernel(self, cupy: Any, name: str, options: tuple[str, ...], device: int | None) -> Any:
        """The kernel for the current device, compiled and loaded if this is the first time it is asked for."""
        key = (self.path, name, options, device)
        kernel = _kernels.get(key)
        if kernel is None:
            with _lock:
                kernel = _kernels.get(key)
                if kernel is None:
                    kernel = cupy.RawModule(code=self.source(), options=options).get_function(name)
                    _ = kernel.num_regs  # loads it now, while no other thread can
                    _kernels[key] = kernel
        return kernel


def compile_options(types: Mapping[str, torch.dtype]) -> tuple[str, ...]:
    """What the compiler is told: the language, and each macro's element type."""
    return ("-std=c++17", *(f"-D{macro}={TYPES[dtype]}" for macro, dtype in types.items()))


def _raw(argument: Argument) -> np.generic:
    """A kernel's argument as CuPy takes it. Pointers alone are unsigned."""
    if argument is None:
        return np.uint64(0)
    return np.uint64(argument.data_ptr()) if isinstance(argument, Tensor) else argument


class _Handle:
    """A stream that CUDA's stream protocol can read."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle


def _stream(cupy: Any, handle: int) -> Any:
    """CuPy's view of a stream that is not its own."""
    adopt = getattr(cupy.cuda.Stream, "from_external", None)
    return cupy.cuda.ExternalStream(handle) if adopt is None else adopt(_Handle(handle))  # CuPy before 14; since 14 the former is deprecated
