"""Gradients of splatting for forms that know none: the transpose of scattering is sampling, so a backward pass is a backward warp.

With A / D = R, a gradient G of R is G / D of A and -(G . R) / D of D. A source sees both at the place that it was carried to, with the bilinear weights
that carried it; how these change with the place is the gradient of the displacement. Chooses no backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

type Totalling = Callable[[Sequence[Tensor], Tensor, Tensor | None], tuple[list[Tensor], Tensor]]
"""The arguments of `vsvfi.ops.splat.reference.splat_values` to its results and D, [B, 1, H, W] float32."""


def splat_values(form: Totalling, values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None) -> list[Tensor]:
    """What `form` finds, with first derivatives of all its tensors, computed in float32.

    Raises:
        RuntimeError: second derivatives are wanted (by torch).
    """
    return list(_Splat.apply(form, displacement, weight, *values))


class _Splat(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, form: Totalling, displacement: Tensor, weight: Tensor | None, *values: Tensor) -> tuple[Tensor, ...]:
        results, total = form(values, displacement, weight)
        ctx.save_for_backward(displacement, weight, total, *values, *results)  # type: ignore[arg-type]  # None is kept as it is
        return tuple(results)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        displacement, weight, total, *others = ctx.saved_tensors  # type: ignore[attr-defined]
        values, results = others[: len(gradients)], others[len(gradients) :]
        wants_displacement, wants_weight, *wanted = ctx.needs_input_grad[1:]  # type: ignore[attr-defined]
        inverse = torch.where(total == 0, 0.0, 1 / total)
        sums = [gradient.float() * inverse for gradient in gradients]
        of_total = -sum((part * result.float()).sum(1, keepdim=True) for part, result in zip(sums, results, strict=True))
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
            assert weight is not None
            counted = (found * rows).sum(1, keepdim=True).sum_to_size(weight.shape).to(weight.dtype)
        if wants_displacement:
            carried = rows if counts is None else rows * counts
            _, slope = torch.ops.aten.grid_sampler_2d_backward(carried, field, grid, 0, 0, False, (False, True))
            scale = torch.tensor((2 / width, 2 / height), dtype=torch.float32, device=slope.device)
            moved = (slope * scale).permute(0, 3, 1, 2).to(displacement.dtype)
        return None, moved, counted, *own


def _places(displacement: Tensor) -> Tensor:
    """Where sources are carried to, as `grid_sample` counts: [B, 2, H, W] -> [B, H, W, 2]. What is not finite goes where nothing is."""
    _, _, height, width = displacement.shape
    x = displacement[:, 0] + torch.arange(width, dtype=torch.float32, device=displacement.device)
    y = displacement[:, 1] + torch.arange(height, dtype=torch.float32, device=displacement.device)[:, None]
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), -1)
    return torch.where(torch.isfinite(grid), grid, 4.0).clamp(-4, 4)
