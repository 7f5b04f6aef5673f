"""Simulate video storage: chroma at half the resolution and quantised block transforms."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 8
"""Side of a block in pixels."""

_TO_YUV = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def halved_colour(image: Tensor) -> Tensor:
    """Reduce the chroma of RGB [B, 3, H, W] to half the resolution and back (4:2:0); luma is unchanged.

    H and W must be even.
    """
    yuv = _converted(image, _matrix(image.device))
    small = functional.avg_pool2d(yuv[:, 1:], 2)
    colour = functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    return _converted(torch.cat((yuv[:, :1], colour), 1), torch.linalg.inv(_matrix(image.device)))


def quantised(image: Tensor, step: Tensor) -> Tensor:
    """Quantise RGB [B, 3, H, W] like a codec: the DCT of every block, with steps that grow with the frequency.

    Args:
        image: sides must be multiples of 8.
        step: [B, 1, 1, 1], of the lowest frequency, in units of the image.
    """
    batch, _, height, width = image.shape
    transform = _cosines(image.device)
    yuv = _converted(image, _matrix(image.device)).reshape(batch, 3, height // SIDE, SIDE, width // SIDE, SIDE)
    spectrum = torch.einsum("ki,bchiwj,lj->bchkwl", transform, yuv, transform)
    axis = torch.arange(SIDE, device=image.device, dtype=image.dtype)
    coarseness = 1 + (axis[:, None] + axis) / 4
    steps = step[..., None, None] * coarseness[:, None, :]  # [B, 1, 1, 8, 1, 8]
    spectrum = (spectrum / steps).round() * steps
    blocks = torch.einsum("ki,bchkwl,lj->bchiwj", transform, spectrum, transform)
    return _converted(blocks.reshape(batch, 3, height, width), torch.linalg.inv(_matrix(image.device)))


def _converted(image: Tensor, matrix: Tensor) -> Tensor:
    converted: Tensor = torch.einsum("dc,bchw->bdhw", matrix, image)
    return converted


@functools.cache
def _matrix(device: torch.device) -> Tensor:
    return torch.tensor(_TO_YUV, device=device)


@functools.cache
def _cosines(device: torch.device) -> Tensor:
    """Return the orthonormal DCT matrix [frequency, position]."""
    index = torch.arange(SIDE, dtype=torch.float64)
    transform: Tensor = torch.cos((2 * index + 1) * index[:, None] * math.pi / (2 * SIDE)) * (2 / SIDE) ** 0.5
    transform[0] *= 0.5**0.5
    return transform.to(device, torch.float32)
