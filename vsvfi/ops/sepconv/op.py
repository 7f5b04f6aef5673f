"""The torch operator `vsvfi::sepconv`: its kernels and shapes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from vsvfi.ops import cuda as launchers
from vsvfi.ops.dispatch import BILINEAR, Kernel, Operator, Shape, register
from vsvfi.ops.sepconv import cuda, reference


def _llvmlite(
    image: Tensor, vertical: Tensor, horizontal: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, top: int, left: int
) -> Tensor:
    from vsvfi.ops.sepconv import cpu  # compiles with llvmlite, which may be missing

    return cpu.run(image, vertical, horizontal, alpha, beta, mask, top, left)


def _cuda(
    backend: str,
    image: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    alpha: Tensor,
    beta: Tensor,
    mask: Tensor,
    top: int,
    left: int,
) -> Tensor:
    return cuda.run(launchers.launcher(backend), image, vertical, horizontal, alpha, beta, mask, top, left)


def _reference(
    image: Tensor, vertical: Tensor, horizontal: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, top: int, left: int
) -> Tensor:
    found = reference.sepconv(image, vertical, horizontal, alpha, beta, mask, top, left)
    return found.contiguous(memory_format=torch.channels_last)


def sample_inputs() -> Iterator[tuple[Tensor | int, ...]]:
    """Two images, offsets beyond the border, one far away; the result begins inside the image."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    image = torch.rand(2, 3, 7, 9, generator=generator, dtype=torch.float32, device="cpu")
    vertical, horizontal = normal(2, 2, 5, 5, 6)
    alpha, beta, mask = 3 * normal(3, 2, 25, 5, 6)
    alpha[0, :, 1, 1] = 1e30
    yield image, vertical, horizontal, alpha, beta, mask, 1, 2


def _multiply_adds(image: Shape, vertical: Shape, horizontal: Shape, alpha: Shape, *others: object) -> int:
    """Every tap is a sample times its row's, its column's and its own weight."""
    return prod(alpha) * (image[1] * (BILINEAR + 1) + 2)


SEPCONV = Operator(
    "sepconv",
    reference=_reference,
    kernels=[
        Kernel("llvmlite", _llvmlite),
        *(Kernel(name, functools.partial(_cuda, name)) for name in ("nvrtc", "cupy")),
    ],
    sample_inputs=sample_inputs,
    multiply_adds=_multiply_adds,
)


def _fake(
    image: Tensor, vertical: Tensor, horizontal: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, top: int, left: int
) -> Tensor:
    batch, _, height, width = alpha.shape
    return torch.empty(batch, height, width, image.shape[1], dtype=torch.float32, device=image.device).permute(
        0, 3, 1, 2
    )


sepconv = register(SEPCONV, _fake)
