"""The torch operator `vsvfi::splat`: its kernels, shapes and gradients.

The transpose of scattering is sampling, so the backward pass is a backward warp. With R = A / D, a gradient G of R
gives the gradients G / D of A and -(G . R) / D of D. Each source samples both at its displaced position, with the same
bilinear weights; the derivative of these weights gives the gradient of the displacement.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from vsvfi.ops import cuda as launchers
from vsvfi.ops.dispatch import BILINEAR, Kernel, Operator, Shape, register
from vsvfi.ops.splat import cuda, reference


def _llvmlite(values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None) -> list[Tensor]:
    from vsvfi.ops.splat import bands  # compiles with llvmlite, which may be missing

    return bands.run(values, displacement, weight)


def _cuda(backend: str, values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None) -> list[Tensor]:
    return cuda.run(launchers.launcher(backend), values, displacement, weight)


def sample_inputs() -> Iterator[tuple[list[Tensor], Tensor, Tensor | None]]:
    """Two values of which one is shared by the batch, displacements that are not finite, with weights and without."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    values, displacement = [normal(2, 3, 9, 13), normal(1, 29, 9, 13)], 2 * normal(2, 2, 9, 13)
    displacement[0, :, 3, 3:6] = torch.tensor([torch.nan, torch.inf, -1e30], dtype=torch.float32, device="cpu")
    yield values, displacement, None
    yield values, displacement, torch.rand(2, 1, 9, 13, generator=generator, dtype=torch.float32, device="cpu") + 0.1


def _multiply_adds(values: Sequence[Shape], displacement: Shape, weight: Shape | None) -> int:
    """Every value and the weight go to four pixels."""
    return BILINEAR * displacement[0] * prod(displacement[2:]) * (sum(value[1] for value in values) + 1)


SPLAT = Operator(
    "splat",
    reference=reference.splat_sums,
    kernels=[
        Kernel("llvmlite", _llvmlite),
        *(Kernel(name, functools.partial(_cuda, name)) for name in ("nvrtc", "cupy")),
    ],
    sample_inputs=sample_inputs,
    multiply_adds=_multiply_adds,
)


def _fake(values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None) -> list[Tensor]:
    batch, _, height, width = displacement.shape
    averages = [value.new_empty(batch, height, width, value.shape[1]).permute(0, 3, 1, 2) for value in values]
    return [*averages, displacement.new_empty(batch, 1, height, width, dtype=torch.float32)]


def _setup_context(
    ctx: FunctionCtx, inputs: tuple[Sequence[Tensor], Tensor, Tensor | None], output: Sequence[Tensor]
) -> None:
    values, displacement, weight = inputs
    ctx.save_for_backward(displacement, weight, *values, *output)  # type: ignore[arg-type]  # None is kept as it is


def _backward(
    ctx: FunctionCtx, gradients: Sequence[Tensor]
) -> tuple[list[Tensor | None], Tensor | None, Tensor | None]:
    """Gradients of all tensors, in float32; second derivatives are available as far as `grid_sample` has them."""
    displacement, weight, *others, total = ctx.saved_tensors  # type: ignore[attr-defined]
    *of_results, of_total = gradients
    values, results = others[: len(of_results)], others[len(of_results) :]
    wanted, wants_displacement, wants_weight = ctx.needs_input_grad  # type: ignore[attr-defined]
    inverse = torch.where(total == 0, 0.0, 1 / total)
    sums = [gradient.float() * inverse for gradient in of_results]
    of_total = of_total - sum(
        (part * result.float()).sum(1, keepdim=True) for part, result in zip(sums, results, strict=True)
    )
    field = torch.cat((*sums, of_total), 1)  # [B, C + 1, H, W], gradients of A and D
    batch, _, height, width = field.shape
    grid = _places(displacement.float())
    counts = None if weight is None else weight.float().nan_to_num(0, 0, 0)
    found = functional.grid_sample(field, grid, padding_mode="zeros", align_corners=False)
    weighted = found if counts is None else found * counts
    channels = [value.shape[1] for value in values]
    own = [
        part.sum_to_size(value.shape).to(value.dtype) if wants else None
        for part, value, wants in zip(weighted[:, :-1].split(channels, 1), values, wanted, strict=True)
    ]
    rows = torch.cat([*(value.float().expand(batch, -1, -1, -1) for value in values), torch.ones_like(total)], 1)
    moved = counted = None
    if wants_weight:
        counted = (found * rows).sum(1, keepdim=True).sum_to_size(weight.shape).to(weight.dtype)
    if wants_displacement:
        carried = rows if counts is None else rows * counts
        _, slope = torch.ops.aten.grid_sampler_2d_backward(carried, field, grid, 0, 0, False, (False, True))
        scale = torch.tensor((2 / width, 2 / height), dtype=torch.float32, device=slope.device)
        moved = (slope * scale).permute(0, 3, 1, 2).to(displacement.dtype)
    return own, moved, counted


def _places(displacement: Tensor) -> Tensor:
    """Displaced positions in the coordinates of `grid_sample`: [B, 2, H, W] -> [B, H, W, 2].

    Positions that are not finite are moved outside the image.
    """
    _, _, height, width = displacement.shape
    x = displacement[:, 0] + torch.arange(width, dtype=torch.float32, device=displacement.device)
    y = displacement[:, 1] + torch.arange(height, dtype=torch.float32, device=displacement.device)[:, None]
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), -1)
    return torch.where(torch.isfinite(grid), grid, 4.0).clamp(-4, 4)


splat = register(SPLAT, _fake, setup_context=_setup_context, backward=_backward)
