"""Values that depend only on a module's weights, on sizes and on devices: computed once, then remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

_ENTRIES = 16
"""Values that one module remembers: those of a few sizes."""


_held = threading.local()


@contextmanager
def holding_constants() -> Iterator[list[object]]:
    """Collect the values that this thread gets while active, to keep them alive after they are forgotten."""
    before, values = getattr(_held, "values", None), list[object]()
    _held.values = values
    try:
        yield values
    finally:
        _held.values = before


class Constants:
    """The remembered values of one module.

    Loading other weights drops them; while gradients are recorded nothing is remembered, since weights then change.

    Args:
        owner: the module, which must not change its weights in another way.
    """

    def __init__(self, owner: nn.Module) -> None:
        self._values: dict[Hashable, object] = {}
        owner.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    def get[V](self, key: Hashable, compute: Callable[[], V]) -> V:
        """Return the value of `key`, computed on the first call.

        Args:
            key: everything that the value depends on besides the weights: name, sizes, device, type.
            compute: returns the value, made of tensors.
        """
        if torch.is_grad_enabled():
            return compute()
        found = self._values.get(key, self)
        if found is self:
            found = compute()
            if len(self._values) >= _ENTRIES:
                self._values = {}
            self._values[key] = found
            _wait_for(found)
        holder: list[object] | None = getattr(_held, "values", None)
        if holder is not None:
            holder.append(found)
        return cast("V", found)

    def clear(self) -> None:
        """Forget all values."""
        self._values = {}


def _forget(module: nn.Module, _keys: Any) -> None:
    for value in vars(module).values():
        if isinstance(value, Constants):
            value.clear()


def _wait_for(value: object) -> None:
    """Wait once until a new value is computed, since other threads use it on streams of their own."""
    leaves = [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]
    if any(leaf.is_cuda for leaf in leaves) and torch.cuda.is_available():
        torch.cuda.current_stream(leaves[0].device).synchronize()
