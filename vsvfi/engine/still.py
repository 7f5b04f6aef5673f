"""Keeps still what does not move: networks return an unchanged region only nearly unchanged, and "nearly" flickers
between untouched source frames.

Knows no network. Where both pictures agree bit for bit over a neighbourhood, small deviations of the result are taken
back; large ones stay, since something may pass through between the two (a ball over a plain wall is in neither picture
at that place).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

RADIUS = 4
"""A pixel is still if everything up to this far from it is: nothing that agrees by chance counts."""

TAKEN_BACK, KEPT = 12 / 255, 24 / 255
"""Deviations up to the first vanish, those from the second on stay; between the two they fade in, so that no edge
appears.

The packaged network was seen to be up to 8 codes off on still hard edges (and 14 on single pixels of white noise of a
contrast that no camera gives). The price: something that is in neither picture at this place (it passes through between
them) and differs by less from an otherwise bit-identical ground is not shown either.
"""


@dataclass(frozen=True, slots=True)
class Still:
    """What two pictures share.

    Attributes:
        image: [1, 3, H, W], the first of them.
        region: [1, 1, H, W] bool, where they agree; None where they agree everywhere.
    """

    image: Tensor
    region: Tensor | None

    def steady(self, picture: Tensor) -> Tensor:
        """`picture` [1, 3, H, W], interpolated between the two, without its small deviations in the region."""
        if self.region is None:
            return self.image
        deviation = picture - self.image
        share = ((deviation.abs().amax(1, keepdim=True) - TAKEN_BACK) / (KEPT - TAKEN_BACK)).clamp(0, 1)
        return torch.where(self.region, self.image + deviation * share, picture)


def find_still(first: Tensor, second: Tensor) -> Still | None:
    """What two pictures [1, 3, H, W] share, or None where they share nothing."""
    if torch.equal(first, second):
        return Still(first, None)
    differs = (first != second).any(1, keepdim=True).float()
    near = functional.max_pool2d(differs, (1, 2 * RADIUS + 1), 1, (0, RADIUS))
    near = functional.max_pool2d(near, (2 * RADIUS + 1, 1), 1, (RADIUS, 0))
    region = near == 0
    return Still(first, region) if bool(region.any()) else None
