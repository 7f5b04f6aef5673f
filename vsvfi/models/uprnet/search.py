"""Search a pair for motion that a pyramid of features loses: small letters, stripes, the outlines of drawings.

A second opinion without weights. Blocks of the first image are compared with all blocks of the second within `REACH`,
by normalised correlation at half the size, and with those between whole pixels of it along one axis: halving turns an
odd displacement of letters into other letters. Each pixel takes what explains it best of the blocks around it and of
the flow that the network estimated; a last search at full size refines it.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.models.blocks.constants import Constants
from vsvfi.models.uprnet.matching import Reach
from vsvfi.ops.blocks import STEP, candidate_errors, grey, mean, normalise, weigh_candidates
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

_BAND, _HALO = 1088, 16
"""Rows that are refined at once, and how far what is around them counts."""

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
        result = _refined(normalise(images), found, flows, 2 * FINE, constants, band or _BAND)
    return torch.cat(result.chunk(2), 1)


def _found(images: Tensor, flows: Tensor, constants: Constants, band: int) -> Tensor:
    """Search both ways: images [2 B, 3, H, W], the first ones and then the second ones; flows [2 B, 2, H, W]."""
    own = normalise(images)
    halves = normalise(functional.avg_pool2d(images, 2))
    start = 0.5 * resize_bilinear(flows, _HALF)
    around = _around(halves, _swapped(halves), start, NEAR, constants)
    blocks = torch.stack([*_everywhere(grey(halves), images, constants), around])
    errors = candidate_errors(own[..., ::2, ::2], _swapped(own), start, None, blocks, apart=2)
    found = weigh_candidates(_smoothed(errors), start, None, blocks)
    return _refined(own, 2 * resize_bilinear(found, _TWICE), flows, FINE, constants, band)


def _refined(images: Tensor, flow: Tensor, other: Tensor, radius: int, constants: Constants, band: int) -> Tensor:
    """Search at full size around the first of two flows, and choose among all; a band of rows at a time."""
    height = images.shape[2]
    others = _swapped(images)
    parts = []
    for top in range(0, height, band):
        bottom = min(height, top + band)
        begin, end = max(0, top - _HALO), min(height, bottom + _HALO)
        own, one, two = (given[:, :, begin:end] for given in (images, flow, other))
        blocks = _around(own, others, one, radius, constants, begin)[None]
        errors = candidate_errors(own, others, one, two, blocks, top=begin)
        made = weigh_candidates(_smoothed(errors), one, two, blocks)
        parts.append(made[:, :, top - begin : bottom - begin])
    return torch.cat(parts, 2) if len(parts) > 1 else parts[0]


def _smoothed(errors: Tensor) -> Tensor:
    """Average errors [candidates, 2 B, h, w] over a pixel's neighbourhood."""
    return mean(errors, _WITHIN)


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
        others = _of_windows(luma, normalise(functional.avg_pool2d(moved, 2), luma=True), reach, constants)
        found = [torch.where(other[:, :1] > one[:, :1], other, one) for one, other in zip(found, others, strict=True)]
    return [best[:, 1:] for best in found]


def _of_windows(luma: Tensor, other: Tensor, reach: Reach, constants: Constants) -> list[Tensor]:
    """Return what is best for each of `_WINDOWS`: score and displacement, [2 B, 3, h / STEP, w / STEP]."""
    scores = reach.scores(luma, _swapped(other))
    return [reach.best(mean(scores, window), constants) for window in _WINDOWS]


def _around(own: Tensor, others: Tensor, flow: Tensor, radius: int, constants: Constants, top: int = 0) -> Tensor:
    """Search around flows of rows from `top` on; return those of blocks, [2 B, 2, h / STEP, w / STEP]."""
    reach = Reach((radius, radius))
    scores = reach.scores(own, backward_warp(others, flow, top))
    return functional.avg_pool2d(flow, STEP) + reach.best(scores, constants)[:, 1:]
