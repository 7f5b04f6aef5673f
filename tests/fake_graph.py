"""Graphs without a GPU, with the properties of CUDA graphs that make mistakes possible.

Recorded operators are replayed in the same order into the memory of the recording, whatever Python would do now: a
branch is frozen, and what a caller kept from an earlier replay changes under it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_WAITS = {"_local_scalar_dense", "equal", "nonzero", "is_nonzero", "masked_select", "_unique2", "bincount"}


class NotRecordableError(RuntimeError):
    """Raised like CUDA's "operation not permitted when stream is capturing"."""


class _Recording(TorchDispatchMode):
    """Runs operators and lists them."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        name = function._schema.name.split("::")[1]
        if name in _WAITS:
            raise NotRecordableError(f"{name} is not permitted while a graph is recorded")
        result = function(*arguments, **(keywords or {}))
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.steps.append((function, arguments, keywords or {}, made))
        return result


class FakeGraphs:
    """Records on the CPU; `streams` may give threads different contexts."""

    def __init__(self, context: Callable[[], Hashable] = lambda: None) -> None:
        self._context = context
        self._lock = threading.RLock()
        self.recorded = self.replayed = 0

    def context(self) -> Hashable:
        return self._context()

    def lock(self) -> threading.RLock:
        return self._lock

    def record(self, work: Callable[[], object]) -> tuple[object, Callable[[], None]]:
        work()
        with _Recording() as recording:
            result = work()
        self.recorded += 1
        steps = recording.steps

        def replay() -> None:
            self.replayed += 1
            for function, arguments, keywords, made in steps:
                again = function(*arguments, **keywords)
                for tensor, new in zip(made, (leaf for leaf in tree_leaves(again) if isinstance(leaf, Tensor))):
                    if _address(new) != _address(tensor):
                        tensor.copy_(new)

        for _, arguments, keywords, made in steps:  # recording does not compute: nothing may be read before a replay
            _spoil(made, (arguments, keywords))
        return result, replay


def _spoil(made: list[Tensor], given: object) -> None:
    """Overwrite what an operator allocated."""
    before = {_address(leaf) for leaf in tree_leaves(given) if isinstance(leaf, Tensor)}
    for tensor in made:
        if _address(tensor) not in before:
            tensor.fill_(float("nan") if tensor.is_floating_point() else 0)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
