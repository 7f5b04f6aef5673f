"""Estimates of RIFE's blocks: flow, mask and feature, and how they are combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from vsvfi.ops.warp import resize_bilinear

_LARGE = 32.0
"""Motion in pixels, in both directions, above which 4.0 and 4.1 start over at half the resolution."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate after some of the blocks."""

    flow: Tensor  # [B, 4, H, W] float32, pixels: to the first frame x, y, to the second x, y
    states: list[tuple[Tensor, Fraction]]
    """Mask logits (whose sum is the mask's logit) and features, with the size of their pixels in the image.

    [B, 1 or 9, h, w] float32, of the last block or of all blocks.
    """


def planes(times: Tensor, like: Tensor) -> Tensor:
    """[B] -> [B, 1, 1, 1] in the type of `like`."""
    return times.to(like.dtype).reshape(-1, 1, 1, 1)


def summed(masks: Sequence[Tensor]) -> Tensor:
    total = masks[0]
    for mask in masks[1:]:
        total = total + mask
    return total


def is_large(start: Estimate, found: Estimate) -> Tensor:
    """Whether block 1 corrects the motion by much both ways."""
    correction = (found.flow - start.flow).abs()
    every = (0, 1, 2, 3)  # ONNX has no maximum without axes
    return (correction[:, :2].amax(every) > _LARGE) & (correction[:, 2:].amax(every) > _LARGE)


def chosen(condition: Tensor, one: Estimate, other: Estimate) -> Estimate:
    """One of two estimates, chosen on the device.

    Only the sum of the masks is used afterwards, so it stands for them, at full size.
    """
    masks = [
        summed([resize_bilinear(state[:, :1], made) for state, made in estimate.states]) for estimate in (one, other)
    ]
    mask = torch.where(condition, masks[0], masks[1])
    return Estimate(torch.where(condition, one.flow, other.flow), [(mask, Fraction(1))])


def averaged(output: Tensor, mirrored: Tensor) -> Tensor:
    """Average flow and mask of a block with those of its run on the mirrored pair."""
    back = torch.cat((mirrored[:, 2:4], mirrored[:, :2], -mirrored[:, 4:5]), 1)
    return (output + back) / 2


def at_size_of(values: Tensor, made: Fraction, step: Fraction) -> Tensor:
    """Resize values whose pixels have the size `made` to full size, then reduce them by `step`.

    Done in one resize where that is equal (down by 2^m of what was enlarged by 2^n > 2^m never straddles a kink of the
    interpolation), else through the full size.
    """
    if made == 1 or made > step >= 1:
        return resize_bilinear(values, made / step)
    return resize_bilinear(resize_bilinear(values, made), 1 / step)
