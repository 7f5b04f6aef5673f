"""Count the memory of tensors without allocating it, by tracking sizes on fake tensors.

Not counted: workspaces of libraries, and memory that an allocator caches or loses to fragmentation.
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
    """Count the bytes of all live storages of tensors made while active.

    Gives the current bytes, and the peak since `peak` was last set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._storages: dict[int, list[int]] = {}  # number of living tensors, bytes

    def count(self, tensor: Tensor) -> None:
        """Count a tensor for as long as it lives."""
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
    """Make fake tensors while active, also on devices that this machine lacks; none needs a gradient."""
    with FakeTensorMode(), torch.no_grad():
        yield LiveBytes()


def pretend_weights(network: nn.Module, dtype: Callable[[str], torch.dtype], device: str) -> None:
    """Give a network on the meta device fake weights on another device, channels last."""
    for place, module in network.named_modules():
        for group in (module._parameters, module._buffers):
            for name, tensor in group.items():
                if tensor is not None:
                    made = torch.empty(tensor.shape, dtype=dtype(place), device=device)
                    made = made.contiguous(memory_format=torch.channels_last) if made.dim() == 4 else made
                    group[name] = nn.Parameter(made, requires_grad=False) if group is module._parameters else made  # type: ignore[assignment]
