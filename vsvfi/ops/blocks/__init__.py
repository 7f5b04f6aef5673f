"""Blocks of images: normalised images, correlation of blocks at every displacement, the best one, a choice of flows.

On CUDA a kernel or two compute each (`op`); other devices use the definitions in plain torch (`reference`). None has
derivatives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vsvfi.ops.blocks import op, reference
from vsvfi.ops.blocks.reference import LUMA, STEP, Places, best_of, mean, places

__all__ = [
    "LUMA",
    "STEP",
    "Places",
    "best_block",
    "best_of",
    "block_scores",
    "candidate_errors",
    "mean",
    "normalise",
    "places",
    "warm_up",
    "weigh_candidates",
]


def normalise(image: Tensor, *, luma: bool = False) -> Tensor:
    """Remove the mean of each pixel's neighbourhood, and divide by its deviation.

    Args:
        image: [B, C, H, W] float32.
        luma: return the luma of the result, for BGR.

    Returns:
        [B, C, H, W] float32, or [B, 1, H, W], 1.7 times as large.
    """
    made: Tensor = op.normalise(image, luma) if image.is_cuda else reference.normalise(image, luma)
    return made


def block_scores(first: Tensor, second: Tensor, down: int, across: int) -> Tensor:
    """Correlate blocks of `first` with those of `second` at every displacement.

    Args:
        first, second: normalised images [B, C, h, w] float32, sides multiples of `STEP`.
        down, across: the most of a displacement in pixels, along y and along x.

    Returns:
        [B, (2 * down + 1) * (2 * across + 1), h / STEP, w / STEP]: the sum over the channels, averaged over cells of
        `STEP` pixels weighted 1, 2, 1 along each axis; displacements as in `vsvfi.ops.correlation`. `second` counts as
        zero outside the image.
    """
    run = op.block_scores if first.is_cuda else reference.block_scores
    made: Tensor = run(first, second, down, across)
    return made


def best_block(scores: Tensor, down: int, across: int, offset_down: float = 0.0, offset_across: float = 0.0) -> Tensor:
    """Find the highest of scores [B, displacements, h, w] less its distance's cost.

    Args:
        scores: of `block_scores`.
        down, across: as for them.
        offset_down, offset_across: what is added to each displacement, in pixels.

    Returns:
        [B, 3, h, w]: the score, and its displacement, x and y, to a fraction of a pixel, by the parabola through its
        neighbours.
    """
    run = op.best_block if scores.is_cuda else reference.best_block
    made: Tensor = run(scores, down, across, offset_down, offset_across)
    return made


def candidate_errors(
    own: Tensor, others: Tensor, flow: Tensor, other: Tensor | None, blocks: Tensor, apart: int = 1, top: int = 0
) -> Tensor:
    """Compare each pixel with what flows bring: with one or two of its own, and those of the four blocks around it.

    Args:
        own: [B, C, h, w] float32; every `apart`-th pixel of an image along each axis, or its rows from `top` on.
        others: [B, C, H, W], which are sampled.
        flow, other: [B, 2, h, w] float32 in pixels of `own`.
        blocks: [n, B, 2, ceil(h / STEP), ceil(w / STEP)], flows of blocks.
        apart: distance of neighbours of `own` in pixels of `others`.
        top: row of `others` of the first row of `own`.

    Returns:
        [candidates, B, h, w], mean absolute differences over the channels: `flow`, `other` if there, and for each of
        `blocks` the block above and left of a pixel, above and right, below and left, below and right. 0.3 where a
        flow leads out of the image.
    """
    run = op.candidate_errors if own.is_cuda else reference.candidate_errors
    made: Tensor = run(own, others, flow, other, blocks, apart, top)
    return made


def weigh_candidates(
    errors: Tensor, flow: Tensor, other: Tensor | None, blocks: Tensor, around: Tensor | None = None, cost: float = 0.0
) -> Tensor:
    """Average flows by how well each explains a pixel's neighbourhood; nearly all weight goes to the best.

    Args:
        errors: [candidates, B, h, w].
        flow, other, blocks: as for `candidate_errors`.
        around: what moves around each pixel, [B, 2, h, w] float32, if that counts.
        cost: error that a pixel of difference from `around` costs, up to 4 pixels.

    Returns:
        [B, 2, h, w].
    """
    run = op.weigh_candidates if errors.is_cuda else reference.weigh_candidates
    made: Tensor = run(errors, flow, other, blocks, around, cost)
    return made


def warm_up(device: torch.device) -> None:
    """Load and compile the kernels, so that no frame waits for them."""
    with torch.no_grad():
        image = torch.zeros(1, 3, STEP, STEP, dtype=torch.float32, device=device)
        normal = normalise(image)
        found = best_block(block_scores(normal, normal, 0, 0), 0, 0)[None, :, 1:]
        flow = torch.zeros(1, 2, STEP, STEP, dtype=torch.float32, device=device)
        weigh_candidates(candidate_errors(image, image, flow, None, found), flow, None, found)
