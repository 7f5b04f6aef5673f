"""Search a pair for motion that a pyramid of features loses: small letters, stripes, the outlines of drawings.

A second opinion without weights. Blocks of the first image are compared with all blocks of the second within `REACH`,
by normalised correlation at half the size, and with those between whole pixels of it along one axis: halving turns an
odd displacement of letters into other letters. Each pixel takes what explains it best of the blocks around it and of
the flow that the network estimated; a last search at full size refines it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.models.blocks.constants import Constants
from vsvfi.models.uprnet.matching import STEP, Reach, block_scores, grey, mean, normalised
from vsvfi.models.uprnet.sampling import sampled
from vsvfi.ops.warp import backward_warp, resize_bilinear

REACH, NEAR, FINE = 12, 3, 1
"""Radius in pixels of the search around no motion and around the network's flow, at half size, and of the last one."""

_SLACK = 2
"""Radius across the axis along which displacements between whole pixels are searched."""

MULTIPLE = 2 * STEP
"""What the sides of an image must be multiples of."""

_WINDOWS = (1, 5)
"""Blocks, along each axis, whose correlations are averaged: one, and so many that single letters are told apart."""

_WITHIN = 7
"""Side of the window of the choice between flows, in pixels."""

_STRICTNESS = 40.0
_BAND, _HALO = 1088, 16
"""Rows that are refined at once, and how far what is around them counts."""

_VALUES = 1 << 24
"""Values of images that flows are applied to at once on CUDA."""

_TWICE, _HALF = Fraction(2), Fraction(1, 2)


@torch.no_grad()
def search_motion(
    first: Tensor, second: Tensor, flow: Tensor, constants: Constants, shrunk: int = 1, band: int | None = None
) -> Tensor:
    """Estimate the motion from `first` to `second`, and back.

    Args:
        first, second: [B, 3, H, W] float32 in [0, 1], sides multiples of `MULTIPLE` * `shrunk`.
        flow: the network's estimate [B, 4, H, W] float32 in pixels, from `first` to `second` and back: candidates.
        constants: what is computed once, of the module that searches.
        shrunk: search at 1/shrunk of the size, and refine at full size what is found.
        band: rows that are refined at once, a multiple of `STEP`; None for many.

    Returns:
        [B, 4, H, W] float32 in pixels.
    """
    images, flows = torch.cat((first, second)), torch.cat((flow[:, :2], flow[:, 2:]))
    if shrunk == 1:
        result = _found(images, flows, constants, band or _BAND)
    else:
        start = resize_bilinear(flows, Fraction(1, shrunk)) / shrunk
        found = shrunk * resize_bilinear(
            _found(functional.avg_pool2d(images, shrunk), start, constants, band or _BAND), Fraction(shrunk)
        )
        result = _refined(normalised(images), [found, flows], 2 * FINE, constants, band or _BAND)
    return torch.cat(result.chunk(2), 1)


def _found(images: Tensor, flows: Tensor, constants: Constants, band: int) -> Tensor:
    """Search both ways: images [2 B, 3, H, W], the first ones and then the second ones; flows [2 B, 2, H, W]."""
    own = normalised(images)
    halves = normalised(functional.avg_pool2d(images, 2))
    start = 0.5 * resize_bilinear(flows, _HALF)
    size = start.shape[2], start.shape[3]
    found = [start]
    for blocks in _everywhere(grey(halves), images, constants):
        found += _of_blocks(blocks, size)
    found += _of_blocks(_around(halves, _swapped(halves), start, NEAR, constants), size)
    others = _swapped(own)
    errors = _errors(own[..., ::2, ::2], others, found, lambda image, flow: sampled(image, 2 * flow, "bilinear", 2))
    return _refined(own, [2 * resize_bilinear(_weighed(errors, found), _TWICE), flows], FINE, constants, band)


def _refined(images: Tensor, flows: list[Tensor], radius: int, constants: Constants, band: int) -> Tensor:
    """Search at full size around the first of the flows, and choose among all; a band of rows at a time."""
    height, width = images.shape[2:]
    others = _swapped(images)
    parts = []
    for top in range(0, height, band):
        bottom = min(height, top + band)
        begin, end = max(0, top - _HALO), min(height, bottom + _HALO)
        own = images[:, :, begin:end]
        some = [flow[:, :, begin:end] for flow in flows]
        found = _of_blocks(_around(own, others, some[0], radius, constants, begin), (end - begin, width))
        errors = _errors(own, others, [*some, *found], functools.partial(backward_warp, top=begin))
        parts.append(_weighed(errors, [*some, *found])[:, :, top - begin : bottom - begin])
    return torch.cat(parts, 2)


def _swapped(images: Tensor) -> Tensor:
    """For each image of [2 B, C, H, W] the other one of its pair."""
    return torch.cat(images.chunk(2)[::-1])


def _everywhere(luma: Tensor, images: Tensor, constants: Constants) -> list[Tensor]:
    """Search around no motion; return flows of blocks for each of `_WINDOWS`, [2 B, 2, h / STEP, w / STEP].

    Args:
        luma: that of the images at half the size, normalised, [2 B, 1, h, w].
        images: [2 B, 3, 2 h, 2 w].
    """
    found = _of_windows(luma, luma, Reach((REACH, REACH)), constants)
    for axis, reach in ((2, Reach((REACH, _SLACK), (0.5, 0.0))), (3, Reach((_SLACK, REACH), (0.0, 0.5)))):
        moved = torch.cat((images.narrow(axis, 1, images.shape[axis] - 1), images.narrow(axis, -1, 1)), axis)
        others = _of_windows(luma, grey(normalised(functional.avg_pool2d(moved, 2))), reach, constants)
        found = [_better(one, other) for one, other in zip(found, others, strict=True)]
    return [flow for _, flow in found]


def _of_windows(luma: Tensor, other: Tensor, reach: Reach, constants: Constants) -> list[tuple[Tensor, Tensor]]:
    """Return what is best for each of `_WINDOWS`."""
    scores = block_scores(luma, _swapped(other), reach.most)
    return [reach.best(mean(scores, window), constants) for window in _WINDOWS]


def _better(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.maximum(one[0], other[0]), torch.where(other[0] > one[0], other[1], one[1])


def _around(own: Tensor, others: Tensor, flow: Tensor, radius: int, constants: Constants, top: int = 0) -> Tensor:
    """Search around flows of rows from `top` on; return those of blocks, [2 B, 2, h / STEP, w / STEP]."""
    reach = Reach((radius, radius))
    scores = block_scores(own, backward_warp(others, flow, top), reach.most)
    return functional.avg_pool2d(flow, STEP) + reach.best(scores, constants)[1]


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
        errors.append(mean(error, _WITHIN).view(len(some), *own[:, :1].shape))
    return torch.cat(errors)


def _weighed(errors: Tensor, flows: Sequence[Tensor]) -> Tensor:
    """Average flows by how well each explains a pixel's neighbourhood; nearly all weight goes to the best."""
    weights = torch.softmax(-_STRICTNESS * errors, 0)
    result = weights[0] * flows[0]
    for weight, flow in zip(weights[1:], flows[1:], strict=True):
        result = torch.addcmul(result, weight, flow)
    return result
