"""The definition of the deformable separable convolution in plain torch, differentiable except for the floors.

Sums tap by tap, so that memory stays a few times the size of the result.
"""

from __future__ import annotations

import torch
from torch import Tensor

BORDER = 2
"""Pixels of replicate padding on every side of the image."""


def sepconv(
    image: Tensor, vertical: Tensor, horizontal: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, top: int, left: int
) -> Tensor:
    """D for checked arguments; see `vsvfi.ops.sepconv.sepconv`."""
    taps = vertical.shape[1]
    height, width = image.shape[2:]
    image = image.float()
    y = torch.arange(top, top + alpha.shape[2], dtype=torch.float32, device=alpha.device)[:, None]
    x = torch.arange(left, left + alpha.shape[3], dtype=torch.float32, device=alpha.device)
    result = image.new_zeros(alpha.shape[0], image.shape[1], *alpha.shape[2:])
    for i in range(taps):
        for j in range(taps):
            k = taps * i + j
            # Summed as the published kernel sums
            above, below, upper, lower = _neighbours(alpha[:, k].float() + y + i - 2 + 1, height)
            before, behind, nearer, farther = _neighbours(beta[:, k].float() + x + j - 2 + 1, width)
            weight = vertical[:, i].float() * horizontal[:, j].float() * mask[:, k].float()
            for row, share in ((above, upper), (below, lower)):
                for column, part in ((before, nearer), (behind, farther)):
                    result = result + _pixels(image, row * width + column) * (weight * (share * part))[:, None]
    return result


def _neighbours(place: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two samples around a coordinate on an axis of `length` pixels padded by BORDER, and their weights.

    Outside (place < 0, or at the last sample and beyond) both are the border sample with a weight of 1, so the border
    counts twice.
    """
    last = length + 2 * BORDER - 1
    floor = place.floor()
    first, second, inside = floor.clamp(0, last), (floor + 1).clamp(0, last), place.clamp(0, last)
    indices = [(sample.nan_to_num(0) - BORDER).clamp(0, length - 1).long() for sample in (first, second)]
    return indices[0], indices[1], 1 + (first - inside), 1 - (second - inside)


def _pixels(image: Tensor, index: Tensor) -> Tensor:
    """Gather the pixels [B, C, h, w] at the linear indices [B, h, w]."""
    batch, channels = index.shape[0], image.shape[1]
    flat = image.expand(batch, -1, -1, -1).flatten(2)
    return flat.gather(2, index.flatten(1)[:, None].expand(-1, channels, -1)).reshape(batch, channels, *index.shape[1:])
