"""The definition of the correlation look-up in plain torch: patches are gathered and blended.

All positions of a window have the same fractional offset: (2 radius + 2)^2 neighbours are gathered once and four
shifted copies of them blended, instead of gathering four neighbours for each position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK_BYTES = 64 << 20
"""Maximum bytes of the gathered target features of one block of sources."""

_NOWHERE = -1e9
"""A coordinate far outside the image."""

type Fetch = Callable[[Tensor], Tensor]
"""Patches [B, N, P] of one level at the places [B, N, P], counted over its rows and columns."""


def from_volume(levels: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """Look-up in volumes; see `vsvfi.ops.lookup.lookup`.

    Args:
        levels: [B or 1, H * W, h, w] each.
        centres: [B, 2, H, W] float32.
        radius: reach of the window.

    Returns:
        [B, L * (2 radius + 1)^2, H, W] in the type of the levels, channels last in memory.
    """
    batch = centres.shape[0]

    def fetch(level: Tensor) -> Fetch:
        return lambda places: torch.gather(level.flatten(2).expand(batch, -1, -1), 2, places)

    parts = [_window(fetch(level), level, number, centres.flatten(2), radius) for number, level in enumerate(levels)]
    return _image(parts, centres)


def on_demand(source: Tensor, targets: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """Look-up with products computed on demand; see `vsvfi.ops.lookup.lookup`.

    Args:
        source: [B or 1, C, H, W].
        targets: [B or 1, C, h, w] each.
        centres: [B, 2, H, W] float32.
        radius: reach of the window.

    Returns:
        [B, L * (2 radius + 1)^2, H, W] in the type of the source, channels last in memory.
    """
    batch, channels, (height, width) = centres.shape[0], source.shape[1], centres.shape[2:]
    rows = source.permute(0, 2, 3, 1).reshape(source.shape[0], height * width, channels)
    columns = [target.permute(0, 2, 3, 1).reshape(target.shape[0], -1, channels) for target in targets]
    block = max(1, _BLOCK_BYTES // ((2 * radius + 2) ** 2 * channels * 4 * batch))
    places, done = centres.flatten(2), []
    for begin in range(0, height * width, block):
        chosen = rows[:, begin : begin + block]

        def fetch(features: Tensor, chosen: Tensor = chosen) -> Fetch:
            return lambda places: _products(chosen, features, places)

        part = places[:, :, begin : begin + block]
        windows = [
            _window(fetch(features), target, number, part, radius)
            for number, (target, features) in enumerate(zip(targets, columns, strict=True))
        ]
        done.append(torch.cat(windows, 2))
    return _image([torch.cat(done, 1)], centres)


def _products(chosen: Tensor, features: Tensor, places: Tensor) -> Tensor:
    """<chosen, features at the places>: [B or 1, n, C], [B or 1, M, C], [B, n, P] -> [B, n, P]."""
    batch, count, patch = places.shape
    if features.shape[0] > 1:
        places = (
            places + torch.arange(batch, dtype=torch.int64, device=places.device)[:, None, None] * features.shape[1]
        )
    gathered = (
        features.reshape(-1, features.shape[-1]).index_select(0, places.reshape(-1)).reshape(batch * count, patch, -1)
    )
    chosen = chosen.expand(batch, -1, -1).reshape(batch * count, -1, 1)
    return torch.bmm(gathered, chosen).reshape(batch, count, patch)


def _window(fetch: Fetch, level: Tensor, number: int, centres: Tensor, radius: int) -> Tensor:
    """The windows of one level around the centres [B, 2, N]: [B, N, (2 radius + 1)^2], the slow index along x."""
    height, width = level.shape[-2:]
    batch, _, count = centres.shape
    reach = 2 * radius + 1
    if height == 1 or width == 1:  # the published kernel divides by size - 1 there and samples nothing
        return level.new_zeros(batch, count, reach * reach)
    at = corners(centres, number, height, width, radius)
    steps = torch.arange(reach + 1, dtype=torch.int64, device=centres.device)
    columns, rows = at.columns[..., None] + steps, at.rows[..., None] + steps  # [B, N, reach + 1]
    seen = ((columns >= 0) & (columns < width))[..., :, None] & ((rows >= 0) & (rows < height))[..., None, :]
    places = columns.clamp(0, width - 1)[..., :, None] + width * rows.clamp(0, height - 1)[..., None, :]
    patch = fetch(places.flatten(2))
    patch = (patch if patch.dtype == torch.float64 else patch.float()).reshape(batch, count, reach + 1, reach + 1)
    patch = torch.where(seen, patch, 0.0)
    right, below = at.right[..., None, None], at.below[..., None, None]
    patch = patch[..., :-1, :] * (1 - right) + patch[..., 1:, :] * right
    patch = patch[..., :-1] * (1 - below) + patch[..., 1:] * below
    return patch.flatten(2).to(level.dtype)


@dataclass(frozen=True, slots=True)
class Corners:
    """Positions of the patches of one level, [B, N] each.

    First column and row of each patch, int64, and the fractional parts of its centre in x and y.
    """

    columns: Tensor
    rows: Tensor
    right: Tensor
    below: Tensor


def corners(centres: Tensor, number: int, height: int, width: int, radius: int) -> Corners:
    """Positions of the patches around centres [B, 2, N] in level `number`.

    Patches outside the image, or with a centre that is not finite, are moved just outside its border.
    """
    x, y = (_inside(centres[:, axis] / 2**number, length, radius) for axis, length in enumerate((width, height)))
    left, top = x.floor(), y.floor()
    return Corners(left.long() - radius, top.long() - radius, (x - left).contiguous(), (y - top).contiguous())


def _inside(coordinate: Tensor, length: int, radius: int) -> Tensor:
    """Clamp a coordinate to bounds outside of which no pixel is reached; non-finite ones go out of bounds."""
    return torch.nan_to_num(coordinate, nan=_NOWHERE, posinf=-_NOWHERE, neginf=_NOWHERE).clamp(
        -radius - 2, length + radius + 1
    )


def _image(parts: Sequence[Tensor], centres: Tensor) -> Tensor:
    """[B, N, K] of all levels to [B, sum of K, H, W]."""
    batch, _, height, width = centres.shape
    return torch.cat(list(parts), 2).reshape(batch, height, width, -1).permute(0, 3, 1, 2)
