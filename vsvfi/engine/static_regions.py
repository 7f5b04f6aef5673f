"""Suppress flicker in static regions.

Networks reproduce a static region only approximately, which flickers between unmodified source frames. Where both
images are bit-identical over a neighbourhood, small deviations of the result are removed. Large ones stay, since an
object may pass through the region between the two frames without being in either.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

RADIUS = 4
"""A pixel is static if all pixels up to this distance are identical, so that chance matches do not count."""

FULL_CORRECTION, NO_CORRECTION = 12 / 255, 24 / 255
"""Deviations up to the first are removed, those above the second are kept; between them they fade in without an edge.

The cost: an object that passes through between the two images and differs by less from a bit-identical background is
removed as well.
"""


@dataclass(frozen=True, slots=True)
class StaticRegion:
    """The static region of two images.

    Attributes:
        image: [1, 3, H, W], the first image.
        mask: [1, 1, H, W] bool, True where static; None if the images are known to be identical.
        moves: [] bool on a device for which the host does not wait: whether the images differ at all; else None.
    """

    image: Tensor
    mask: Tensor | None
    moves: Tensor | None = None

    def suppress_flicker(self, image: Tensor) -> Tensor:
        """Remove small deviations in the region from an image [1, 3, H, W] interpolated between the two."""
        if self.mask is None:
            return self.image
        deviation = image - self.image
        share = ((deviation.abs().amax(1, keepdim=True) - FULL_CORRECTION) / (NO_CORRECTION - FULL_CORRECTION)).clamp(
            0, 1
        )
        corrected = torch.where(self.mask, self.image + deviation * share, image)
        return corrected if self.moves is None else torch.where(self.moves, corrected, self.image)


def find_static_region(first: Tensor, second: Tensor, *, waits: bool | None = None) -> StaticRegion | None:
    """Find the static region of two images [1, 3, H, W], or None if there is none.

    On a device that runs behind the host, a region is always returned: it may be empty or everything. The host would
    have to wait for the device to know, and the queue of both workers would run dry for every pair.

    Args:
        first, second: on one device.
        waits: whether the host waits for the device; by default on the CPU only.
    """
    waits = first.device.type == "cpu" if waits is None else waits
    if waits and torch.equal(first, second):
        return StaticRegion(first, None)
    differs = (first != second).any(1, keepdim=True).float()
    near = functional.max_pool2d(differs, (1, 2 * RADIUS + 1), 1, (0, RADIUS))
    near = functional.max_pool2d(near, (2 * RADIUS + 1, 1), 1, (RADIUS, 0))
    mask = near == 0
    if not waits:
        return StaticRegion(first, mask, differs.amax() > 0)
    return StaticRegion(first, mask) if bool(mask.any()) else None
