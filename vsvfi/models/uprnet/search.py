"""Search a pair for motion that a pyramid of features loses: small letters, stripes, the outlines of drawings.

A second opinion without weights. Blocks of the first image are compared with all blocks of the second within `REACH`,
by normalised correlation, at a quarter of the size and then at half of it; there also with those between whole pixels
along one axis, since halving turns an odd displacement of letters into other letters. Each pixel takes what explains it
best of the blocks around it and of the flow that the network estimated, and what moves like its neighbourhood where
several explain it: flat ground, and what leaves the picture. A last search at full size refines it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.models.blocks.constants import Constants
from vsvfi.models.uprnet.matching import Reach
from vsvfi.ops.blocks import LUMA, STEP, candidate_errors, mean, normalise, weigh_candidates
from vsvfi.ops.warp import backward_warp, resize_bilinear

REACH, NEAR, FINE = 12, 3, 1
"""Radius in pixels of the search around no motion and around flows, at less than full size, and of the last one."""

_SLACK = 2
"""Radius across the axis along which displacements between whole pixels are searched."""

MULTIPLE = 4 * STEP
"""What the sides of an image must be multiples of."""

_WINDOWS = (1, 5)
"""Blocks, along each axis, whose correlations are averaged: one, and so many that single letters are told apart."""

_WITHIN = 7
"""Side of the window of the choice between flows, in pixels."""

_ALIKE = 7
"""Side of the window whose motion a flow is compared with, in pixels."""

_COARSE_COST, _FINE_COST = 0.05, 0.02
"""Error that a pixel of difference from that costs, at less than full size and at it."""

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
    batch, _, *size = first.shape
    images, flows = torch.cat((first, second)), flow.reshape(batch, 2, 2, *size).transpose(0, 1).reshape(-1, 2, *size)
    if shrunk == 1:
        result = _found(images, flows, constants, band or _BAND)
    else:
        start = resize_bilinear(flows, Fraction(1, shrunk)) / shrunk
        small = _found(functional.avg_pool2d(images, shrunk), start, constants, band or _BAND)
        large = shrunk * resize_bilinear(small, Fraction(shrunk))
        result = _refined(_Both.of(normalise(images)), large, flows, 2 * FINE, constants, band or _BAND)
    return result.reshape(2, batch, 2, *size).transpose(0, 1).reshape(batch, 4, *size)


class _Both(NamedTuple):
    """Normalised images [2 B, C, H, W], the first ones and then the second ones, and for each the other of its pair."""

    own: Tensor
    others: Tensor

    @classmethod
    def of(cls, images: Tensor) -> _Both:
        return cls(images, torch.cat(images.chunk(2)[::-1]))


def _found(images: Tensor, flows: Tensor, constants: Constants, band: int) -> Tensor:
    """Search both ways, [2 B, 2, H, W].

    Args:
        images: [2 B, 3, H, W], the first ones and then the second ones.
        flows: the network's, [2 B, 2, H, W].
        constants, band: as for `search_motion`.
    """
    halves = functional.avg_pool2d(images, 2)
    quarters = functional.avg_pool2d(halves, 2)
    full, half, quarter = (_Both.of(normalise(size)) for size in (images, halves, quarters))
    start = 0.5 * resize_bilinear(flows, _HALF)
    coarse = _halved(half, quarter, 0.5 * resize_bilinear(start, _HALF), constants)
    found = _halved(full, half, start, constants, images, 2 * resize_bilinear(coarse, _TWICE))
    return _refined(full, 2 * resize_bilinear(found, _TWICE), flows, FINE, constants, band)


def _halved(
    full: _Both,
    half: _Both,
    start: Tensor,
    constants: Constants,
    images: Tensor | None = None,
    coarse: Tensor | None = None,
) -> Tensor:
    """Search at half a size.

    Args:
        full: candidates are judged by every second pixel of these, [2 B, 3, 2 h, 2 w].
        half: [2 B, 3, h, w].
        start: the network's flow, [2 B, 2, h, w].
        constants: what is computed once.
        images: [2 B, 3, 2 h, 2 w], if displacements between the pixels of `half` are tried too.
        coarse: what was found at half of this size, [2 B, 2, h, w]; None searches around no motion alone, since the
            next size searches around `start` too.

    Returns:
        [2 B, 2, h, w].
    """
    blocks = _everywhere(_luma(half.own, constants), images, constants)
    if coarse is not None:
        blocks += [_around(half.own, half.others, flow, NEAR, constants) for flow in (start, coarse)]
    grids = torch.stack(blocks)
    errors = candidate_errors(full.own[..., ::2, ::2], full.others, start, coarse, grids, apart=2)
    return _agreed(_smoothed(errors), start, coarse, grids, _COARSE_COST)


def _refined(images: _Both, flow: Tensor, other: Tensor, radius: int, constants: Constants, band: int) -> Tensor:
    """Search at full size around the first of two flows, and choose among all; a band of rows at a time."""
    height = flow.shape[2]
    parts = []
    for top in range(0, height, band):
        bottom = min(height, top + band)
        begin, end = max(0, top - _HALO), min(height, bottom + _HALO)
        own, one, two = (given[:, :, begin:end] for given in (images.own, flow, other))
        blocks = _around(own, images.others, one, radius, constants, begin)[None]
        errors = _smoothed(candidate_errors(own, images.others, one, two, blocks, top=begin))
        made = _agreed(errors, one, two, blocks, _FINE_COST)
        parts.append(made[:, :, top - begin : bottom - begin])
    return torch.cat(parts, 2) if len(parts) > 1 else parts[0]


def _luma(image: Tensor, constants: Constants) -> Tensor:
    """Like that of `normalise`, for an image that is normalised."""
    shares = constants.get(
        ("luma", image.device), lambda: torch.tensor(LUMA, dtype=torch.float32, device=image.device).reshape(3, 1, 1)
    )
    return (image * shares).sum(1, keepdim=True)


def _smoothed(errors: Tensor) -> Tensor:
    """Average errors [candidates, 2 B, h, w] over a pixel's neighbourhood."""
    return mean(errors, _WITHIN)


def _agreed(errors: Tensor, flow: Tensor, other: Tensor | None, blocks: Tensor, cost: float) -> Tensor:
    """Choose a flow that explains each pixel, [2 B, 2, h, w], and that moves like what explains those around it."""
    around = mean(weigh_candidates(errors, flow, other, blocks), _ALIKE)
    return weigh_candidates(errors, flow, other, blocks, around, cost)


def _everywhere(luma: Tensor, images: Tensor | None, constants: Constants) -> list[Tensor]:
    """Search around no motion; return flows of blocks for each of `_WINDOWS`, [2 B, 2, h / STEP, w / STEP].

    Args:
        luma: that of the images at half the size, normalised, [2 B, 1, h, w].
        images: [2 B, 3, 2 h, 2 w], whose displacements between the pixels of half the size are tried too; or None.
    """
    found = _of_windows(_Both.of(luma), Reach((REACH, REACH)), constants)
    if images is not None:
        for axis, reach in ((2, Reach((REACH, _SLACK), (0.5, 0.0))), (3, Reach((_SLACK, REACH), (0.0, 0.5)))):
            moved = torch.cat((images.narrow(axis, 1, images.shape[axis] - 1), images.narrow(axis, -1, 1)), axis)
            others = _Both.of(normalise(functional.avg_pool2d(moved, 2), luma=True)).others
            other = _of_windows(_Both(luma, others), reach, constants)
            found = torch.where(other[:, :1] > found[:, :1], other, found)
    return list(found[:, 1:].chunk(len(_WINDOWS)))


def _of_windows(luma: _Both, reach: Reach, constants: Constants) -> Tensor:
    """Return what is best for each of `_WINDOWS`: score and displacement, [windows * 2 B, 3, h / STEP, w / STEP]."""
    scores = reach.scores(luma.own, luma.others)
    return torch.cat([reach.best(mean(scores, window), constants) for window in _WINDOWS])


def _around(own: Tensor, others: Tensor, flow: Tensor, radius: int, constants: Constants, top: int = 0) -> Tensor:
    """Search around flows of rows from `top` on; return those of blocks, [2 B, 2, h / STEP, w / STEP]."""
    reach = Reach((radius, radius))
    scores = reach.scores(own, backward_warp(others, flow, top))
    return functional.avg_pool2d(flow, STEP) + reach.best(scores, constants)[:, 1:]
