"""A stand-in for CuPy whose kernels run on the CPU, as far as `vsvfi.ops.cupy_kernels` asks for CuPy; remembers what was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tests.ops.cuda_emulation import Module
from vsvfi.ops.cupy_kernels import Argument


@dataclass
class CupyDouble:
    """What goes by the name of `cupy`.

    Args:
        backwards: run blocks and threads in the opposite order.
    """

    backwards: bool = False
    compiled: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    launches: list[SimpleNamespace] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._now = threading.local()
        self._tensors: dict[int, torch.Tensor] = {}
        self.cuda = SimpleNamespace(Device=self._device, Stream=SimpleNamespace(from_external=self._stream))

    @contextmanager
    def _device(self, index: int | None) -> Iterator[None]:
        self._now.device = index
        yield
        del self._now.device

    @contextmanager
    def _stream(self, stream: Any) -> Iterator[None]:
        version, self._now.stream = stream.__cuda_stream__()
        assert version == 0
        yield
        del self._now.stream

    def remember(self, argument: Argument, raw: np.generic) -> np.generic:
        """Know again the tensor behind a pointer: its memory can then be guarded."""
        if isinstance(argument, torch.Tensor) and raw:
            self._tensors[int(raw)] = argument
        return raw

    def RawModule(self, *, code: str, options: tuple[str, ...]) -> SimpleNamespace:  # noqa: N802  (CuPy's own name)
        """A text compiled."""
        self.compiled.append((code, options))
        module = Module(code, options)

        def get_function(name: str) -> Kernel:
            return Kernel(self, module, name)

        return SimpleNamespace(get_function=get_function)


@dataclass
class Kernel:
    """A kernel that runs when it is called."""

    cupy: CupyDouble
    module: Module
    name: str
    num_regs = 1

    def __call__(self, grid: tuple[int, int, int], block: tuple[int, int, int], arguments: tuple[np.generic, ...]) -> None:
        now = self.cupy._now
        self.cupy.launches.append(SimpleNamespace(name=self.name, grid=grid, block=block, arguments=arguments, device=now.device, stream=now.stream))
        tensors = self.cupy._tensors
        known = [tensors[int(argument)] if isinstance(argument, np.uint64) and argument else argument for argument in arguments]
        self.module.launch(self.name, grid, block, known, backwards=self.cupy.backwards)
        tensors.clear()
