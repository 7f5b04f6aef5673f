"""The torch operator `vsvfi::correlation`: its kernels for CUDA and its shape. Other devices use the definition."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from vsvfi.ops import cuda as launchers
from vsvfi.ops.correlation import cuda, reference
from vsvfi.ops.dispatch import Kernel, Operator, Shape, register


def _reference(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """Compute the definition, laid out like the kernels' results."""
    return reference.local_correlation(first, second, radius).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _cuda(backend: str, first: Tensor, second: Tensor, radius: int) -> Tensor:
    return cuda.run(launchers.launcher(backend), first, second, radius)


def sample_inputs() -> Iterator[tuple[Tensor, Tensor, int]]:
    """Features of every layout, some of them smaller than the radius, and a part of a larger tensor."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    yield normal(2, 5, 6, 17), normal(2, 5, 6, 17), 4
    last = [normal(1, 16, 9, 13).contiguous(memory_format=torch.channels_last) for _ in range(2)]
    yield last[0], last[1], 2
    yield normal(1, 7, 3, 2)[:, 2:5], normal(1, 3, 3, 4)[..., 1:3], 4
    yield normal(1, 3, 2, 2), normal(1, 3, 2, 2), 0


def _multiply_adds(first: Shape, second: Shape, radius: int) -> int:
    """Every displacement is a product of two feature vectors."""
    return prod(first) * (2 * radius + 1) ** 2


CORRELATION = Operator(
    "correlation",
    reference=_reference,
    kernels=[Kernel(name, functools.partial(_cuda, name)) for name in ("nvrtc", "cupy")],
    sample_inputs=sample_inputs,
    multiply_adds=_multiply_adds,
)


def _fake(first: Tensor, second: Tensor, radius: int) -> Tensor:
    batch, _, rows, columns = first.shape
    return first.new_empty(batch, rows, columns, (2 * radius + 1) ** 2).permute(0, 3, 1, 2)


correlation = register(CORRELATION, _fake)
