"""Restore the detail that bilinear splatting blurs: most at half a pixel, nothing at whole pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def restore_detail(image: Tensor, displacements: tuple[Tensor, Tensor], times: Tensor, amount: float) -> Tensor:
    """Sharpen an interpolated image along each axis by the variance of its bilinear weights.

    A displacement with the fraction f of a pixel has weights f and 1 - f, which blur with a variance of f (1 - f); that
    of both frames' displacements counts by their shares, 1 - t and t.

    Args:
        image: [B, C, H, W].
        displacements: of the first and the second frame to t, [B, 2, H, W] each, in pixels.
        times: [B, 1, 1, 1].
        amount: 0 leaves the image as it is.

    Returns:
        [B, C, H, W], not clamped.
    """
    fractions = torch.cat(displacements, 1).remainder(1)
    variances = torch.addcmul(fractions, fractions, fractions, value=-1)
    strength = (0.5 * amount) * torch.lerp(variances[:, :2], variances[:, 2:], times)
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    across = torch.sub(image, padded[:, :, 1:-1, :-2] + padded[:, :, 1:-1, 2:], alpha=0.5)
    down = torch.sub(image, padded[:, :, :-2, 1:-1] + padded[:, :, 2:, 1:-1], alpha=0.5)
    return torch.addcmul(torch.addcmul(image, strength[:, :1], across), strength[:, 1:], down)
