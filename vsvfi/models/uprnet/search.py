"""Search a pair for motion that a pyramid of features loses: small letters, stripes, the outlines of drawings.

A second opinion without weights. Blocks of the first image are compared with all blocks of the second within `REACH`,
by normalised correlation at half the size, and with those between whole pixels of it along one axis: halving turns an
odd displacement of letters into other letters. Each pixel takes what explains it best of the blocks around it and of
the flow that the network estimated; a last search at full size refines it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.models.uprnet.sampling import sampled
from vsvfi.ops.correlation import local_correlation
from vsvfi.ops.warp import backward_warp, resize_bilinear

REACH, NEAR, FINE = 12, 3, 1
"""Radius in pixels of the search around no motion and around the network's flow, at half size, and of the last one."""

_SLACK = 2
"""Radius across the axis along which displacements between whole pixels are searched."""

STEP = 4
"""Distance between blocks in pixels of the size that is searched; a block has twice this side."""

MULTIPLE = 2 * STEP
"""What the sides of an image must be multiples of."""

_WINDOWS = (1, 5)
"""Blocks, along each axis, whose correlations are averaged: one, and so many that single letters are told apart."""

_CONTRAST = 3 / 255
"""Deviation below which a neighbourhood counts as flat."""

_AROUND, _WITHIN = 9, 7
"""Sides of the windows of the normalisation and of the choice between flows, in pixels."""

_DISTANCE = 0.015
"""Correlation that a pixel of distance from the centre of a search costs, so that flat blocks stay."""

_STRICTNESS = 40.0
_LUMA = (0.194, 0.998, 0.508)  # of BGR, 1.7 times the luma's weights: the sum over three channels is as large
_BAND, _HALO = 512, 16
"""Rows that are refined at once, and how far what is around them counts."""

_ROWS, _SCORES = 16, 1 << 24
"""Rows on a CPU, and correlations on CUDA, that are computed at once."""

_VALUES = 1 << 24
"""Values of images that flows are applied to at once on CUDA."""

_TWICE, _HALF = Fraction(2), Fraction(1, 2)


@torch.no_grad()
def search_motion(first: Tensor, second: Tensor, flow: Tensor, shrunk: int = 1) -> Tensor:
    """Estimate the motion from `first` to `second`, and back.

    Args:
        first, second: [B, 3, H, W] float32 in [0, 1], sides multiples of `MULTIPLE` * `shrunk`.
        flow: the network's estimate [B, 4, H, W] float32 in pixels, from `first` to `second` and back: candidates.
        shrunk: search at 1/shrunk of the size, and refine at full size what is found.

    Returns:
        [B, 4, H, W] float32 in pixels.
    """
    images, flows = torch.cat((first, second)), torch.cat((flow[:, :2], flow[:, 2:]))
    if shrunk == 1:
        result = _found(images, flows)
    else:
        start = resize_bilinear(flows, Fraction(1, shrunk)) / shrunk
        found = shrunk * resize_bilinear(_found(functional.avg_pool2d(images, shrunk), start), Fraction(shrunk))
        result = _refined(normalised(images), [found, flows], 2 * FINE)
    return torch.cat(result.chunk(2), 1)


def _found(images: Tensor, flows: Tensor) -> Tensor:
    """Search both ways: images [2 B, 3, H, W], the first ones and then the second ones; flows [2 B, 2, H, W]."""
    own = normalised(images)
    halves = normalised(functional.avg_pool2d(images, 2))
    start = 0.5 * resize_bilinear(flows, _HALF)
    size = start.shape[2], start.shape[3]
    found = [start]
    for blocks in _everywhere(_luma(halves), images):
        found += _of_blocks(blocks, size)
    found += _of_blocks(_around(halves, _swapped(halves), start, NEAR), size)
    others = _swapped(own)
    errors = _errors(own[..., ::2, ::2], others, found, lambda image, flow: sampled(image, 2 * flow, "bilinear", 2))
    return _refined(own, [2 * resize_bilinear(_weighed(errors, found), _TWICE), flows], FINE)


def _refined(images: Tensor, flows: list[Tensor], radius: int) -> Tensor:
    """Search at full size around the first of the flows, and choose among all; a band of rows at a time."""
    height, width = images.shape[2:]
    others = _swapped(images)
    parts = []
    for top in range(0, height, _BAND):
        bottom = min(height, top + _BAND)
        begin, end = max(0, top - _HALO), min(height, bottom + _HALO)
        own = images[:, :, begin:end]
        some = [flow[:, :, begin:end] for flow in flows]
        found = _of_blocks(_around(own, others, some[0], radius, begin), (end - begin, width))
        errors = _errors(own, others, [*some, *found], functools.partial(backward_warp, top=begin))
        parts.append(_weighed(errors, [*some, *found])[:, :, top - begin : bottom - begin])
    return torch.cat(parts, 2)


def _swapped(images: Tensor) -> Tensor:
    """For each image of [2 B, C, H, W] the other one of its pair."""
    return torch.cat(images.chunk(2)[::-1])


def _everywhere(luma: Tensor, images: Tensor) -> list[Tensor]:
    """Search around no motion; return flows of blocks for each of `_WINDOWS`, [2 B, 2, h / STEP, w / STEP].

    Args:
        luma: that of the images at half the size, normalised, [2 B, 1, h, w].
        images: [2 B, 3, 2 h, 2 w].
    """
    found = _Scores(block_scores(luma, _swapped(luma), (REACH, REACH)), (REACH, REACH), (0.0, 0.0)).of_windows()
    for axis, reach, offset in ((2, (REACH, _SLACK), (0.5, 0.0)), (3, (_SLACK, REACH), (0.0, 0.5))):
        moved = torch.cat((images.narrow(axis, 1, images.shape[axis] - 1), images.narrow(axis, -1, 1)), axis)
        between = _luma(normalised(functional.avg_pool2d(moved, 2)))
        others = _Scores(block_scores(luma, _swapped(between), reach), reach, offset).of_windows()
        found = [_better(one, other) for one, other in zip(found, others, strict=True)]
    return [flow for _, flow in found]


def _better(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.maximum(one[0], other[0]), torch.where(other[0] > one[0], other[1], one[1])


def normalised(image: Tensor) -> Tensor:
    """Remove the mean of each pixel's neighbourhood, and divide by its deviation: [B, C, H, W]."""
    difference = image - _mean(image, _AROUND)
    variance = _mean(difference.square().mean(1, keepdim=True), _AROUND)
    return difference * torch.rsqrt(variance + _CONTRAST**2)


def _luma(image: Tensor) -> Tensor:
    blue, green, red = (image[:, channel : channel + 1] * share for channel, share in enumerate(_LUMA))
    return blue + green + red


def block_scores(first: Tensor, second: Tensor, reach: tuple[int, int]) -> Tensor:
    """Correlate blocks of `first` with those of `second` at every displacement.

    Args:
        first, second: normalised images [B, C, h, w], sides multiples of `STEP`.
        reach: the most of a displacement in pixels, along y and along x.

    Returns:
        [B, (2 * reach_y + 1) * (2 * reach_x + 1), h / STEP, w / STEP]: the sum over the channels, averaged over cells
        of `STEP` pixels weighted 1, 2, 1 along each axis; displacements as in `vsvfi.ops.correlation`.
    """
    cells = (_cells_at_once if first.device.type == "cuda" else _cells_by_rows)(first, second, reach)
    cells = functional.pad(cells, (1, 1, 1, 1), mode="replicate")
    for axis in (2, 3):
        count = cells.shape[axis] - 2
        before, own, after = (cells.narrow(axis, start, count) for start in range(3))
        cells = (0.5 * own).add_(before, alpha=0.25).add_(after, alpha=0.25)
    return cells


def _cells_at_once(first: Tensor, second: Tensor, reach: tuple[int, int]) -> Tensor:
    """Correlate cells by the kernel, as many rows at once as `_VALUES` values allow; it knows squares alone."""
    radius = max(reach)
    _, channels, height, width = first.shape
    across = (2 * radius + 1) ** 2
    step = max(1, _SCORES // (across * width * STEP)) * STEP
    around = functional.pad(second, (0, 0, radius, radius))
    parts = []
    for top in range(0, height, step):
        count = min(step, height - top)
        own = functional.pad(first[:, :, top : top + count], (0, 0, radius, radius))
        volume = local_correlation(own, around[:, :, top : top + count + 2 * radius], radius)
        side = 2 * radius + 1
        kept = volume[:, :, radius : radius + count].reshape(len(first), side, side, count, width)
        for axis, most in zip((1, 2), reach, strict=True):
            kept = kept.narrow(axis, radius - most, 2 * most + 1)
        parts.append(functional.avg_pool2d(kept.flatten(1, 2), STEP))
    return channels * torch.cat(parts, 2)


def _cells_by_rows(first: Tensor, second: Tensor, reach: tuple[int, int]) -> Tensor:
    """Correlate cells a few rows at a time, so that the products stay in the processor's cache."""
    batch, channels, height, width = first.shape
    tall, across = (2 * most + 1 for most in reach)
    around = functional.pad(second, (reach[1], reach[1], reach[0], reach[0]))
    result = first.new_empty(batch, height // STEP, width // STEP, tall * across)
    for index in range(batch):
        for top in range(0, height, _ROWS):
            count = min(_ROWS, height - top)
            own = first[index, :, top : top + count].unsqueeze(-1)
            products = first.new_empty(count, width, across)
            cells = result[index, top // STEP : (top + count) // STEP]
            for down in range(tall):
                windows = around[index, :, top + down : top + down + count].unfold(2, across, 1)  # a view
                torch.mul(own[0], windows[0], out=products)
                for channel in range(1, channels):
                    products.addcmul_(own[channel], windows[channel])
                rows = products.view(-1, STEP, width, across).sum(1).view(count // STEP, -1, STEP, across)
                torch.sum(rows, 2, out=cells[..., down * across : (down + 1) * across])
    return result.permute(0, 3, 1, 2) / STEP**2


def _around(own: Tensor, others: Tensor, flow: Tensor, radius: int, top: int = 0) -> Tensor:
    """Search around flows of rows from `top` on; return those of blocks, [2 B, 2, h / STEP, w / STEP]."""
    reach = (radius, radius)
    scores = _Scores(block_scores(own, backward_warp(others, flow, top), reach), reach, (0.0, 0.0))
    return functional.avg_pool2d(flow, STEP) + scores.best(1)[1]


@dataclass(frozen=True, slots=True)
class _Scores:
    """Scores of displacements up to `reach` (y, x) in pixels, each plus `offset` (y, x)."""

    scores: Tensor
    reach: tuple[int, int]
    offset: tuple[float, float]

    def of_windows(self) -> list[tuple[Tensor, Tensor]]:
        """Return what `best` finds for each of `_WINDOWS`."""
        return [self.best(window) for window in _WINDOWS]

    def best(self, window: int) -> tuple[Tensor, Tensor]:
        """Return the highest score less its distance's cost, and its displacement [B, 2, h / STEP, w / STEP].

        To a fraction of a pixel, by the parabola through its neighbours; scores are averaged over a window of blocks.
        """
        tall, across = (2 * most + 1 for most in self.reach)
        down, right = (
            torch.arange(-most, most + 1, dtype=self.scores.dtype, device=self.scores.device) + offset
            for most, offset in zip(self.reach, self.offset, strict=True)
        )
        distance = (down.square()[:, None] + right.square()).sqrt().reshape(1, -1, 1, 1)
        scores = _mean(self.scores, window).sub(_DISTANCE * distance)
        best, index = scores.max(1, keepdim=True)
        parts = []
        for place, stride, steps, count in ((index % across, 1, right, across), (index // across, across, down, tall)):
            inside = (place > 0) & (place < count - 1)
            before, after = (scores.gather(1, torch.where(inside, index + side * stride, index)) for side in (-1, 1))
            curvature = before - 2 * best + after
            offset = 0.5 * (before - after) / torch.where(inside & (curvature < 0), curvature, torch.ones_like(best))
            parts.append(steps[place] + offset.clamp(-0.5, 0.5))
        return best, torch.cat(parts, 1)


def _of_blocks(flow: Tensor, size: tuple[int, int]) -> list[Tensor]:
    """Give each pixel the flows of the four blocks around it: [B, 2, h / STEP, w / STEP] to four of [B, 2, h, w]."""
    around = functional.pad(flow, (1, 1, 1, 1), mode="replicate")
    large = around.repeat_interleave(STEP, 2).repeat_interleave(STEP, 3)
    corners = (STEP // 2, STEP // 2 + STEP)
    return [large[..., top : top + size[0], left : left + size[1]] for top in corners for left in corners]


def _errors(own: Tensor, others: Tensor, flows: Sequence[Tensor], sample: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Compare what flows bring with the neighbourhood of each pixel.

    Args:
        own: [2 B, C, h, w].
        others: [2 B, C, H, W], which are sampled.
        flows: [2 B, 2, h, w] each.
        sample: of images and flows.

    Returns:
        [flows, 2 B, 1, h, w], mean absolute differences.
    """
    at_once = max(1, _VALUES // others.numel()) if own.device.type == "cuda" else 1
    errors = []
    for begin in range(0, len(flows), at_once):
        some = flows[begin : begin + at_once]
        before, after = (image.repeat(len(some), 1, 1, 1) if len(some) > 1 else image for image in (own, others))
        error = (sample(after, torch.cat(list(some))) - before).abs().mean(1, keepdim=True)
        errors.append(_mean(error, _WITHIN).view(len(some), *own[:, :1].shape))
    return torch.cat(errors)


def _weighed(errors: Tensor, flows: Sequence[Tensor]) -> Tensor:
    """Average flows by how well each explains a pixel's neighbourhood; nearly all weight goes to the best."""
    weights = torch.softmax(-_STRICTNESS * errors, 0)
    result = weights[0] * flows[0]
    for weight, flow in zip(weights[1:], flows[1:], strict=True):
        result = torch.addcmul(result, weight, flow)
    return result


def _mean(maps: Tensor, side: int) -> Tensor:
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
