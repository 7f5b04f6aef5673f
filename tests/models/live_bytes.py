"""How much memory tensors take while something runs, without that memory: sizes are followed on fake tensors.

What it cannot count: workspaces of libraries, and what an allocator keeps or cannot use.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Bytes of all storages that tensors made inside hold: now, and at most since `peak` was last set."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._storages: dict[int, list[int]] = {}  # number of living tensors, bytes

    def count(self, tensor: Tensor) -> None:
        """Take a tensor into account for as long as it lives."""
        storage = tensor.untyped_storage()
        entry = self._storages.setdefault(storage._cdata, [0, 0])
        if not entry[0]:
            entry[1] = storage.nbytes()
            self.now += entry[1]
        entry[0] += 1
        weakref.finalize(tensor, self._forget, storage._cdata)
        self.peak = max(self.peak, self.now)

    def _forget(self, key: int) -> None:
        entry = self._storages[key]
        entry[0] -= 1
        if not entry[0]:
            self.now -= self._storages.pop(key)[1]

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        result = function(*arguments, **(keywords or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.count(leaf)
        return result


@contextmanager
def pretending() -> Iterator[LiveBytes]:
    """Tensors made inside have sizes alone, also those of devices that are not here; none needs a gradient."""
    with FakeTensorMode(), torch.no_grad():
        yield LiveBytes()


def pretend_weights(network: nn.Module, dtype: Callable[[str], torch.dtype], device: str) -> None:
    """Give a network on the meta device weights that pretend to be on another, channels last."""
    for place, module in network.named_modules():
        for group in (module._parameters, module._buffers):
            for name, tensor in group.items():
                if tensor is not None:
                    made = torch.empty(tensor.shape, dtype=dtype(place), device=device)
                    made = made.contiguous(memory_format=torch.channels_last) if made.dim() == 4 else made
                    group[name] = nn.Parameter(made, requires_grad=False) if group is module._parameters else made  # type: ignore[assignment]
