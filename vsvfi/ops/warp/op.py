"""The torch operator `vsvfi::warp`: its kernels for CUDA and its shape. Other devices use the definition."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from vsvfi.ops import cuda as launchers
from vsvfi.ops.dispatch import BILINEAR, Kernel, Operator, Shape, register
from vsvfi.ops.warp import cuda, reference


def _reference(image: Tensor, flow: Tensor, top: int) -> Tensor:
    """Compute the definition, laid out like the kernels' results."""
    return reference.warp_strip(image, flow, top).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _cuda(backend: str, image: Tensor, flow: Tensor, top: int) -> Tensor:
    return cuda.run(launchers.launcher(backend), image, flow, top)


def sample_inputs() -> Iterator[tuple[Tensor, Tensor, int]]:
    """Images of every layout, one of them shared by the batch, a strip of rows, and flow that is not finite."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    flow = 4 * normal(2, 2, 9, 13)
    flow[0, :, 2, 3:7] = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30], dtype=torch.float32, device="cpu")
    yield normal(2, 3, 9, 13), flow, 0
    yield normal(1, 29, 9, 13).contiguous(memory_format=torch.channels_last), flow, 0
    yield normal(2, 5, 14, 13), flow, 4


def _multiply_adds(image: Shape, flow: Shape, top: int) -> int:
    """Every pixel is a sample."""
    return BILINEAR * image[1] * flow[0] * prod(flow[2:])


WARP = Operator(
    "warp",
    reference=_reference,
    kernels=[Kernel(name, functools.partial(_cuda, name)) for name in ("nvrtc", "cupy")],
    sample_inputs=sample_inputs,
    multiply_adds=_multiply_adds,
)


def _fake(image: Tensor, flow: Tensor, top: int) -> Tensor:
    batch, _, rows, columns = flow.shape
    return image.new_empty(batch, rows, columns, image.shape[1]).permute(0, 3, 1, 2)


warp = register(WARP, _fake)
