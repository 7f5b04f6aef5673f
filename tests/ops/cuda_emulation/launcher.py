"""A launcher that runs the operators' kernels on CPU tensors and records its launches."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from tests.ops.cuda_emulation import Module
from vsvfi.ops.cuda import Argument, Launcher, Size, raw


class EmulatedLauncher(Launcher[object, object]):
    """Compiles and runs kernels on the CPU.

    Args:
        backwards: run blocks and threads in the opposite order.
    """

    def __init__(self, *, backwards: bool = False) -> None:
        super().__init__()
        self.backwards = backwards
        self.compiled: list[tuple[str, tuple[str, ...]]] = []
        self.launches: list[SimpleNamespace] = []

    def _load(self, source: str, options: tuple[str, ...], device: int) -> Module:
        self.compiled.append((source, options))
        return Module(source, options)

    def _get(self, module: object, name: str, device: int) -> tuple[Module, str]:
        assert isinstance(module, Module)
        return module, name

    def _start(self, function: object, arguments: Sequence[Argument], device: int, grid: Size, block: Size) -> None:
        assert isinstance(function, tuple)
        module, name = function
        self.launches.append(
            SimpleNamespace(name=name, grid=grid, block=block, arguments=[raw(argument) for argument in arguments])
        )
        module.launch(name, grid, block, arguments, backwards=self.backwards)
