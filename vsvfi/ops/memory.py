"""Check tensors before compiled code gets their addresses.

Compiled code checks nothing: memory of another type, size or device would crash the process or be corrupted. A kernel
therefore wraps each tensor once per call and passes the addresses that the wrapper returns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

import torch
from torch import Tensor


class Memory:
    """A checked tensor in CPU memory, and the addresses of its elements.

    Args:
        name: of the operator and the tensor, for messages.
        tensor: kept alive as long as this object.
        dtype: the type that the code reads or writes.
        shape: the shape that the code expects.
        dense: how many of the last dimensions are contiguous in row-major order; None for all.

    Raises:
        ValueError: the tensor is not what the code expects.
    """

    __slots__ = ("_address", "_name", "_shape", "_strides", "_tensor")

    def __init__(
        self, name: str, tensor: Tensor, dtype: torch.dtype, shape: Sequence[int], dense: int | None = None
    ) -> None:
        self._tensor = tensor
        self._name, self._shape = name, tuple(shape)
        strides, size = tensor.stride() if tensor.layout is torch.strided else (), dtype.itemsize
        wrong = _wrong(tensor, dtype, self._shape, strides, len(self._shape) if dense is None else dense)
        if wrong:
            raise ValueError(f"{name}: {wrong}")
        self._strides = [stride * size for stride in strides]
        self._address = tensor.data_ptr()

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the dimensions, in elements."""
        return self._tensor.stride()

    def at(self, *index: int) -> int:
        """The address of an element; omitted indices are 0. A first dimension of size 1 accepts any first index.

        Raises:
            IndexError: there is no such element.
        """
        address = self._address
        for number, (place, size, stride) in enumerate(zip(index, self._shape, self._strides, strict=False)):
            if size == 1 and number == 0:
                continue
            if not 0 <= place < size:
                raise IndexError(f"{self._name}: {list(index)} is outside of {list(self._shape)}")
            address += place * stride
        return address


def _wrong(
    tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...], strides: tuple[int, ...], dense: int
) -> str | None:
    """Why the tensor cannot be passed to code for this type and shape, or None."""
    if tensor.layout is not torch.strided or not tensor.is_cpu or tensor.is_neg():
        return f"a {tensor.layout} tensor on {tensor.device}, must be in the CPU's memory as it is"
    if tensor.dtype is not dtype:
        return f"{tensor.dtype}, must be {dtype}"
    if tensor.shape != shape or 0 in shape:
        return f"{list(tensor.shape)}, must be {list(shape)} and not empty"
    step = 1
    for axis in range(len(shape) - 1, len(shape) - 1 - dense, -1):
        if strides[axis] != step and shape[axis] != 1:
            return f"strides {list(strides)}, the last {dense} dimensions of {list(shape)} must be contiguous"
        step *= shape[axis]
    last = tensor.storage_offset() + sum(map(mul, shape, strides)) - sum(strides)
    held = tensor.untyped_storage().nbytes() // dtype.itemsize
    if last >= held:
        return f"{math.prod(shape)} elements up to number {last}, its storage has {held}"
    return None
