"""Sizes of UPR-Net's pyramid: reduced images and resized flows."""

from __future__ import annotations

from fractions import Fraction

from torch import Tensor
from torch.nn import functional

from vsvfi.ops.warp import resize_bilinear

FEATURES = 4
"""Size of a level divided by that of its smallest features."""


def reduced(image: Tensor, factor: int) -> Tensor:
    """Reduce an image, and pad it for the features at a quarter of its size."""
    return grown(resize_bilinear(grown(image, factor), Fraction(1, factor)), FEATURES)


def grown(image: Tensor, multiple: int) -> Tensor:
    """Pad right and bottom with grey, as the engine does, to a multiple in both directions."""
    right, bottom = (-size % multiple for size in (image.shape[3], image.shape[2]))
    return functional.pad(image, (0, right, 0, bottom), value=0.5) if right or bottom else image


def cropped(image: Tensor, like: Tensor) -> Tensor:
    """Crop right and bottom what another level was padded by, to the size of `like`."""
    return image[..., : like.shape[2], : like.shape[3]]


def flow_pyramid(flow: Tensor, factor: Fraction = Fraction(4)) -> tuple[Tensor, Tensor, Tensor]:
    """Resize flow [B, 4, h/4, w/4] or [B, 4, h/2, w/2] in pixels of the level to full, half and quarter size.

    `factor` is the full size divided by the flow's.

    Each result is in pixels of its own grid; the quarter size is smoothed.
    """
    full = resize_bilinear(flow, factor)
    half = 0.5 * resize_bilinear(full, Fraction(1, 2))
    return full, half, 0.5 * resize_bilinear(half, Fraction(1, 2))
