"""Counts the bytes of all tensors alive while something runs, on the meta device: shapes are computed, numbers are not, so any size can be tried anywhere.

What a kernel takes for itself (a convolution's workspace) is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Bytes of tensors that were made inside and are still referred to.

    Attributes:
        now: at this moment.
        peak: the most so far.
        at: the operator that brought the peak.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now, self.peak, self.at = 0, 0, ""
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operator(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage(), str(operator))
        return result

    def _add(self, storage: Any, operator: str) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        weakref.finalize(storage, self._free, size)
        self.now += size
        if self.now > self.peak:
            self.peak, self.at = self.now, operator

    def _free(self, size: int) -> None:
        self.now -= size


class _FusedAttention(TorchFunctionMode):
    """Attention allocates its result alone, as the fused kernels of CPUs and GPUs do; on the meta device torch would take its unfused form."""

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is functional.scaled_dot_product_attention:
            query, _, value = args
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return function(*args, **(kwargs or {}))


@contextmanager
def live_bytes() -> Iterator[LiveBytes]:
    """Counts what is done inside; tensors have to be on the device "meta"."""
    with torch.inference_mode(), _FusedAttention(), LiveBytes() as counter:
        yield counter
