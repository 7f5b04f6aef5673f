"""Warp and splat into a window of a picture, exactly: displaced pixels come from the whole picture.

Backward warping reads the part of the picture that the window's flow leads to. Splatting needs every source pixel that
arrives in the window, however far away: blocks of pixels whose displacements cannot lead there are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsvfi.models.blocks.tiles import Window, compact
from vsvfi.ops.splat import op, splat
from vsvfi.ops.warp import backward_warp, backward_warp_at

MARGIN = 64
"""Pixels around a window from which sources are splatted in one pass; motion beyond takes further passes."""

_BLOCK = 16
_COARSEST = 4
"""Pixels of the finest grid in one of the coarsest that is splatted with it."""


def warped(image: Tensor, flow: Tensor, window: Window) -> Tensor:
    """Sample the whole image where the flow of a window leads.

    Args:
        image: [B or 1, C, h, w] of the whole grid, at any resolution.
        flow: [B, 2, ...] of the window at that resolution, in its pixels.
        window: a window of the grid.

    Returns:
        [B, C, ...] for the window, as `backward_warp` would for the whole.
    """
    if window.whole:
        return backward_warp(image, flow)
    top, left = window.start(image)
    rows = torch.arange(top, top + flow.shape[-2], dtype=torch.float32, device=flow.device)
    columns = torch.arange(left, left + flow.shape[-1], dtype=torch.float32, device=flow.device)
    (above, below), (before, after) = _sampled(flow, rows, columns, image.shape[-2], image.shape[-1])
    seen = image[..., above:below, before:after]
    made = backward_warp_at(seen, flow, rows - above, columns - before)
    return made.contiguous(memory_format=torch.channels_last)


def _sampled(flow: Tensor, rows: Tensor, columns: Tensor, height: int, width: int) -> tuple[tuple[int, int], ...]:
    """The rows and columns of an image that a flow leads to, or all of them if the host cannot know."""
    if not _known(flow):
        return (0, height), (0, width)
    positions = (flow[:, 1] + rows[:, None], height), (flow[:, 0] + columns, width)
    bounds = torch.stack([edge for at, _ in positions for edge in torch.aminmax(torch.nan_to_num(at))]).tolist()
    found = []
    for (low, high), (_, length) in zip((bounds[:2], bounds[2:]), positions):
        first = min(max(math.floor(low), 0), length - 1)
        found.append((first, max(min(math.ceil(high) + 1, length), first + 1)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Reach:
    """The smallest and largest displacement of each block of pixels.

    Attributes:
        lower, upper: [B, 2, h, w], x then y, in pixels of the picture.
        block: edge of a block.
    """

    lower: Tensor
    upper: Tensor
    block: int


def reach(displacement: Tensor) -> Reach:
    """The reach of displacements [B, 2, H, W]."""
    batch, _, height, width = displacement.shape
    block = next(size for size in (_BLOCK, _BLOCK // 2, _COARSEST) if height % size == width % size == 0)
    blocks = displacement.reshape(batch, 2, height // block, block, width // block, block)
    return Reach(blocks.amin((3, 5)), blocks.amax((3, 5)), block)


@dataclass(frozen=True, slots=True)
class Source:
    """Source pixels that are splatted in one pass, in pixels of the picture.

    Attributes:
        window: as large as every other of its picture.
        counted: rows and columns, from the upper left corner on, that another source has splatted already.
    """

    window: Window
    counted: tuple[int, int]


def sources(found: Reach, share: Tensor, window: Window) -> list[Source]:
    """The sources of all pixels that arrive in a window, or close to it, when moved by `share` of their displacement.

    Args:
        found: of the whole displacement.
        share: [T, 1, 1, 1] in [0, 1].
        window: of the picture; bounds are multiples of 4.
    """
    height, width = window.grid
    extent = min(height, window.height + 2 * MARGIN), min(width, window.width + 2 * MARGIN)
    usual = tuple(
        min(max(start - MARGIN, 0), length - size)
        for start, length, size in zip((window.top, window.left), window.grid, extent, strict=True)
    )
    needed = _arriving(found, share, window)
    spans = [
        _passes(begin, end, start, size, length)
        for (begin, end), start, size, length in zip(needed, usual, extent, window.grid, strict=True)
    ]
    return [
        Source(Window(window.grid, top, left, *extent, (top, top), (left, left)), (above, before))
        for top, above in spans[0]
        for left, before in spans[1]
    ]


def splatted(
    values: Sequence[Tensor],
    displacement: Tensor,
    share: Tensor,
    window: Window,
    passes: Sequence[Source],
    moved: Tensor | None = None,
) -> list[Tensor]:
    """Splat whole-picture values into a window, moved by `share` of their displacement.

    Args:
        values: [B or 1, C, h, w] each, of one resolution.
        displacement: [B or 1, 2, h, w] of that resolution, in its pixels.
        share: [T, 1, 1, 1].
        window: where the results are.
        passes: of `sources`.
        moved: `share * displacement` where the window is the whole picture, if it is known already.

    Returns:
        For each value [T, C, ...] for the window.
    """
    if window.whole:
        return splat(list(values), share * displacement if moved is None else moved)
    (top, left), (height, width) = window.start(displacement), window.size(displacement)
    sums: list[Tensor] = []
    for source in passes:
        own_top, own_left = source.window.start(displacement)
        arriving = share * source.window.of(displacement)
        arriving[:, 0] += own_left - left
        arriving[:, 1] += own_top - top
        above, before = (
            length * size // whole
            for length, size, whole in zip(source.counted, displacement.shape[-2:], window.grid, strict=True)
        )
        arriving[..., :above, :] = math.inf  # ignored by splatting
        arriving[..., :, :before] = math.inf
        made = op.splat([source.window.of(value) for value in values], arriving, None)
        made = [compact(tensor[..., :height, :width], tensor) for tensor in made]
        if len(passes) == 1:
            return made[:-1]
        made = [*(tensor.float() * made[-1] for tensor in made[:-1]), made[-1]]
        sums = made if not sums else [total.add_(part) for total, part in zip(sums, made, strict=True)]
    weight = torch.where(sums[-1] == 0, 1.0, sums[-1])
    return [(total / weight).to(value.dtype) for total, value in zip(sums[:-1], values, strict=True)]


def _known(tensor: Tensor) -> bool:
    """Whether there are values to look at; tracing and counting have none."""
    return type(tensor) is Tensor and not tensor.is_meta


def _arriving(found: Reach, share: Tensor, window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of all blocks from which pixels arrive in a window; the window itself if there are none."""
    inside = (window.top, window.top + window.height), (window.left, window.left + window.width)
    if not _known(found.lower):
        return inside
    arrives: Tensor | None = None
    for axis, (begin, end) in ((1, inside[0]), (0, inside[1])):
        starts = found.block * torch.arange(found.lower.shape[3 - axis], dtype=torch.float32, device=share.device)
        starts = starts[:, None] if axis else starts
        lowest = starts + share[:, 0] * found.lower[:, axis]
        highest = starts + found.block + share[:, 0] * found.upper[:, axis]
        # a pixel reaches its neighbours too, on the coarsest grid that is splatted with this one
        hits = (lowest < end + _COARSEST) & (highest > begin - _COARSEST)
        arrives = hits if arrives is None else arrives & hits
    assert arrives is not None
    present = arrives.any(0)
    rows, columns = (present.any(1).nonzero().flatten(), present.any(0).nonzero().flatten())
    if not rows.numel():
        return inside
    first, last, before, after = torch.stack((rows[0], rows[-1], columns[0], columns[-1])).tolist()
    return (first * found.block, (last + 1) * found.block), (before * found.block, (after + 1) * found.block)


def _passes(begin: int, end: int, usual: int, extent: int, length: int) -> list[tuple[int, int]]:
    """Starts of passes that cover [begin, end) of an axis, each with how much of it is covered already."""
    if usual <= begin and end <= usual + extent:
        return [(usual, 0)]
    starts, covered = [], begin
    while covered < end:
        start = min(covered, length - extent)
        starts.append((start, covered - start))
        covered += extent
    return starts
