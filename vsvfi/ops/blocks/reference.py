"""Blocks of images in plain torch: normalisation, correlation, the best displacement, a choice of flows.

The definition of the operators of this folder, and what runs on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

STEP = 4
"""Distance between blocks in pixels of the size that is searched; a block has twice this side."""

AROUND = 9
"""Side of the window of the normalisation in pixels."""

CONTRAST = 3 / 255
"""Deviation below which a neighbourhood counts as flat."""

DISTANCE = 0.015
"""Correlation that a pixel of distance from the centre of a search costs, so that flat blocks stay."""

LUMA = (0.194, 0.998, 0.508)  # of BGR, 1.7 times the luma's weights: the sum over three channels is as large

STRICTNESS = 40.0
"""How much a difference counts among flows; nearly all weight goes to the best."""

LEFT = 0.3
"""Error of what a flow brings from outside the image: more than that of a match, less than that of another thing."""

APART = 4.0
"""Pixels of difference from what moves around a pixel, from which more makes no difference."""


def normalise(image: Tensor, luma: bool) -> Tensor:
    """See `vsvfi.ops.blocks.normalise`."""
    difference = image - mean(image, AROUND)
    variance = mean(difference.square().mean(1, keepdim=True), AROUND)
    made = difference * torch.rsqrt(variance + CONTRAST**2)
    return grey(made) if luma else made


def grey(image: Tensor) -> Tensor:
    """Luma of BGR, [B, 3, H, W] to [B, 1, H, W], 1.7 times as large."""
    blue, green, red = (image[:, channel : channel + 1] * share for channel, share in enumerate(LUMA))
    return blue + green + red


def mean(maps: Tensor, side: int) -> Tensor:
    """Average over the part inside the image of a window of this odd side around each pixel."""
    if side == 1:
        return maps
    reach = side // 2
    if maps.device.type == "cuda":
        return functional.avg_pool2d(maps, side, 1, reach, count_include_pad=False)
    for axis in (2, 3):  # on a CPU many times faster than pooling
        length = maps.shape[axis]
        total = maps.clone()
        for distance in range(1, min(reach, length - 1) + 1):
            count = length - distance
            total.narrow(axis, distance, count).add_(maps.narrow(axis, 0, count))
            total.narrow(axis, 0, count).add_(maps.narrow(axis, distance, count))
        places = torch.arange(length, dtype=torch.int64, device=maps.device)
        counted = places.clamp(max=reach) + places.flip(0).clamp(max=reach) + 1
        maps = total.div_(counted.to(maps.dtype).reshape((-1, 1) if axis == 2 else (-1,)))
    return maps


def block_scores(first: Tensor, second: Tensor, down: int, across: int) -> Tensor:
    """See `vsvfi.ops.blocks.block_scores`."""
    scores = cells(first, second, down, across)
    scores = functional.pad(scores, (1, 1, 1, 1), mode="replicate")
    for axis in (2, 3):
        count = scores.shape[axis] - 2
        before, own, after = (scores.narrow(axis, start, count) for start in range(3))
        scores = (0.5 * own).add_(before, alpha=0.25).add_(after, alpha=0.25)
    return scores


def cells(first: Tensor, second: Tensor, down: int, across: int) -> Tensor:
    """Correlate single cells: a convolution whose every channel has a window of `second` and a cell of `first`."""
    batch, channels, height, width = first.shape
    tall, wide = STEP + 2 * down, STEP + 2 * across
    around = functional.pad(second, (across, across, down, down))
    windows = around.unfold(2, tall, STEP).unfold(3, wide, STEP)
    own = first.reshape(batch, channels, height // STEP, STEP, width // STEP, STEP).transpose(3, 4)
    weights = own.reshape(-1, 1, STEP, STEP)
    scores = functional.conv2d(windows.reshape(1, -1, tall, wide), weights, groups=len(weights))
    result = scores.view(batch, channels, height // STEP, width // STEP, -1).sum(1)
    return result.permute(0, 3, 1, 2) / STEP**2


class Places(NamedTuple):
    """What depends on the displacements of a search alone, each [1, n, 1, 1]."""

    costs: Tensor  # of each displacement
    last: Tensor  # place along x and y
    first: Tensor  # displacement along x and y
    steps: Tensor  # to the neighbours: left, above, right, below


def places(most: tuple[int, int], offset: tuple[float, float], device: torch.device) -> Places:
    """Compute those of displacements of up to `most` (y, x) pixels, each plus `offset` (y, x)."""
    down, right = (
        torch.arange(-reach, reach + 1, dtype=torch.float32, device=device) + begin
        for reach, begin in zip(most, offset, strict=True)
    )
    distance = (down.square()[:, None] + right.square()).sqrt()
    across = 2 * most[1] + 1
    ends = [float(across - 1), 2.0 * most[0]], [offset[1] - most[1], offset[0] - most[0]]
    last, first = (torch.tensor(values, dtype=torch.float32, device=device).reshape(1, -1, 1, 1) for values in ends)
    steps = torch.tensor([-1, -across, 1, across], dtype=torch.int64, device=device)
    return Places((DISTANCE * distance).reshape(1, -1, 1, 1), last, first, steps.reshape(1, -1, 1, 1))


def best_block(scores: Tensor, down: int, across: int, offset_down: float, offset_across: float) -> Tensor:
    """See `vsvfi.ops.blocks.best_block`."""
    return best_of(scores, across, places((down, across), (offset_down, offset_across), scores.device))


def best_of(scores: Tensor, across: int, given: Places) -> Tensor:
    """Like `best_block`, with what depends on the displacements alone."""
    scores = scores - given.costs
    best, index = scores.max(1, keepdim=True)
    row = 2 * across + 1
    place = torch.cat((index % row, index // row), 1)
    around = scores.gather(1, (index + given.steps).clamp(0, scores.shape[1] - 1))
    before, after = around.chunk(2, 1)
    curvature = before + after - 2 * best
    curved = (place > 0) & (place < given.last) & (curvature < 0)
    offset = 0.5 * (before - after) / curvature
    return torch.cat((best, place + given.first + torch.where(curved, offset, 0.0).clamp(-0.5, 0.5)), 1)


def candidates(flow: Tensor, other: Tensor | None, blocks: Tensor) -> Iterator[Tensor]:
    """Yield the flows that `candidate_errors` compares, [B, 2, h, w] each, in its order."""
    yield flow
    if other is not None:
        yield other
    for found in blocks:
        around = functional.pad(found, (1, 1, 1, 1), mode="replicate")
        large = around.repeat_interleave(STEP, 2).repeat_interleave(STEP, 3)
        corners = (STEP // 2, STEP // 2 + STEP)
        for top in corners:
            for left in corners:
                yield large[..., top : top + flow.shape[2], left : left + flow.shape[3]]


def candidate_errors(
    own: Tensor, others: Tensor, flow: Tensor, other: Tensor | None, blocks: Tensor, apart: int, top: int
) -> Tensor:
    """See `vsvfi.ops.blocks.candidate_errors`."""
    return torch.cat([_error(own, others, one, apart, top) for one in candidates(flow, other, blocks)], 1).transpose(
        0, 1
    )


def _error(own: Tensor, others: Tensor, flow: Tensor, apart: int, top: int) -> Tensor:
    rows, columns = flow.shape[2:]
    height, width = others.shape[2:]
    y, x = (
        apart * torch.arange(first, first + count, dtype=torch.float32, device=flow.device)
        for first, count in ((top, rows), (0, columns))
    )
    across, down = apart * flow[:, 0] + x, apart * flow[:, 1] + y[:, None]
    left = (across < 0) | (across > width - 1) | (down < 0) | (down > height - 1)
    places = torch.stack((across * (2 / max(width - 1, 1)) - 1, down * (2 / max(height - 1, 1)) - 1), 3)
    moved = functional.grid_sample(others, places, "bilinear", "border", align_corners=True)
    return (moved - own).abs().mean(1).masked_fill_(left, LEFT)[:, None]


def weigh_candidates(
    errors: Tensor, flow: Tensor, other: Tensor | None, blocks: Tensor, around: Tensor | None, cost: float
) -> Tensor:
    """See `vsvfi.ops.blocks.weigh_candidates`."""
    if around is not None:
        unlike = [(one - around).abs_().sum(1) for one in candidates(flow, other, blocks)]
        errors = torch.add(errors, torch.stack(unlike).clamp_(max=APART), alpha=cost)
    weights = torch.softmax(-STRICTNESS * errors, 0)[:, :, None]
    result: Tensor | None = None
    for weight, one in zip(weights, candidates(flow, other, blocks), strict=True):
        result = weight * one if result is None else torch.addcmul(result, weight, one)
    assert result is not None
    return result
