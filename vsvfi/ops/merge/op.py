"""The torch operator `vsvfi::merge_images`: its kernels for CUDA and its shape. Other devices use the definition."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from vsvfi.ops import cuda as launchers
from vsvfi.ops.dispatch import Kernel, Operator, register
from vsvfi.ops.merge import cuda, reference


def _reference(output: Tensor, first: Tensor, second: Tensor, times: Tensor) -> Tensor:
    """Compute the definition, laid out like the kernels' results."""
    return reference.merge_images(output, first, second, times).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _cuda(backend: str, output: Tensor, first: Tensor, second: Tensor, times: Tensor) -> Tensor:
    return cuda.run(launchers.launcher(backend), output, first, second, times)


def sample_inputs() -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Planes and channels last, a time for each image and one for both."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    times = torch.tensor((0.25, 0.75), dtype=torch.float32, device="cpu").reshape(-1, 1, 1, 1)
    yield normal(2, 5, 9, 37), normal(2, 3, 9, 37), normal(2, 3, 9, 37), times
    last = [
        tensor.contiguous(memory_format=torch.channels_last)
        for tensor in (normal(2, 5, 6, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 4))
    ]
    yield last[0], last[1], last[2], times[:1]


MERGE_IMAGES = Operator(
    "merge_images",
    reference=_reference,
    kernels=[Kernel(name, functools.partial(_cuda, name)) for name in ("nvrtc", "cupy")],
    sample_inputs=sample_inputs,
    multiply_adds=lambda output, first, second, times: 0,  # sums are not counted in plain torch either
)


def _fake(output: Tensor, first: Tensor, second: Tensor, times: Tensor) -> Tensor:
    batch, _, rows, columns = output.shape
    return first.new_empty(batch, rows, columns, 3).permute(0, 3, 1, 2)


merge_images = register(MERGE_IMAGES, _fake)
