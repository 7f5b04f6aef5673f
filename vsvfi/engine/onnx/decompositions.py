"""Operators expressed by those that ONNX has.

Every operator of vsvfi has a definition in plain torch, which is what is exported. Two are written anew here: one
whose definition depends on the data in a way that no static graph can follow, one that has a shorter form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vsvfi.ops.dispatch import operators


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return the table for `ExportedProgram.run_decompositions`."""
    table: dict[Any, Callable[..., Any]] = {
        getattr(torch.ops.vsvfi, operator.name).default: operator.reference for operator in operators()
    }
    table[torch.ops.vsvfi.splat.default] = splat_sums
    table[torch.ops.aten.nan_to_num.default] = nan_to_num
    return table


def splat_sums(values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None) -> list[Tensor]:
    """Like `vsvfi.ops.splat.reference.splat_sums`, by adding up at indices instead of sorting and counting links.

    The sums are the same but for the order of additions, which an ONNX runtime may choose.
    """
    batch, _, height, width = displacement.shape
    pixels = height * width
    ones = torch.ones((batch, 1, height, width), dtype=torch.float32, device=displacement.device)
    rows = torch.cat([*(value.float().expand(batch, -1, -1, -1) for value in values), ones], 1).flatten(2)
    counts = None if weight is None else (torch.isfinite(weight) & (weight != 0)).flatten(1)
    if weight is not None:
        rows = rows * torch.where(torch.isfinite(weight), weight, 0).flatten(2)
    displacement = displacement.float()
    x = displacement[:, 0] + torch.arange(width, dtype=torch.float32, device=displacement.device)
    y = displacement[:, 1] + torch.arange(height, dtype=torch.float32, device=displacement.device)[:, None]
    left, top = x.flatten(1).floor(), y.flatten(1).floor()
    right_share, bottom_share = x.flatten(1) - left, y.flatten(1) - top
    sums = rows.new_zeros((batch, rows.shape[1], pixels + 1))  # the last is for pixels that reach no target
    for down, of_row in ((0, 1 - bottom_share), (1, bottom_share)):
        for across, of_column in ((0, 1 - right_share), (1, right_share)):
            column, row = left + across, top + down
            # Comparisons with NaN are false, so sources that are not finite reach no target.
            reached = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            if counts is not None:
                reached = reached & counts
            target = torch.where(reached, row * width + column, pixels)
            if pixels >= 2**24:  # beyond which float32 does not hold every index
                target = torch.where(reached, row.double() * width + column.double(), float(pixels))
            share = torch.where(reached, of_row * of_column, 0)
            index = target.long()[:, None].expand(-1, rows.shape[1], -1)
            sums = torch.scatter_add(sums, 2, index, rows * share[:, None])
    total = sums[:, -1:, :pixels]
    averages = (sums[:, :-1, :pixels] / torch.where(total == 0, 1.0, total)).reshape(batch, -1, height, width)
    parts = torch.split(averages, [value.shape[1] for value in values], 1)
    return [
        *(part.to(value.dtype) for part, value in zip(parts, values, strict=True)),
        total.reshape(batch, 1, height, width),
    ]


def nan_to_num(
    values: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Like `torch.nan_to_num`, but also bounds finite values to [neginf, posinf]: three nodes instead of ten.

    Flow that is bounded to 1e9 pixels points to the border as before. NaN is found by comparison with itself, since
    OpenVINO's provider does not know IsNaN.
    """
    limits = torch.finfo(values.dtype)
    lower = limits.min if neginf is None else neginf
    upper = limits.max if posinf is None else posinf
    return torch.where(values == values, values, 0.0 if nan is None else nan).clamp(lower, upper)
