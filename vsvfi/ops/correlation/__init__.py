"""Correlation of two feature maps.

On CUDA one kernel computes it (`op`); other devices and training use the definition in plain torch (`reference`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from vsvfi.ops.correlation import op, reference

__all__ = ["local_correlation", "warm_up"]


def local_correlation(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """Correlate each pixel of `first` with the pixels of `second` around the same position.

    V[k](y, x) = mean over channels of first(y, x) * second(y + k // d - radius, x + k % d - radius) with d = 2 * radius
    + 1; `second` counts as zero outside the frame (UPR-Net, section 3.2; PWC-Net's cost volume). Half-precision
    features are summed in float32.

    Args:
        first: [B, C, H, W].
        second: the same shape and type.
        radius: in pixels along each axis, 0 or more.

    Returns:
        [B, d * d, H, W] of the same type, channels last in memory.

    Raises:
        ValueError: the shapes differ, or the radius is negative.
    """
    if first.device.type != "cuda" or (torch.is_grad_enabled() and (first.requires_grad or second.requires_grad)):
        return reference.local_correlation(first, second, radius)
    reference.check(first, second, radius)
    result: Tensor = op.correlation(first, second, radius)
    return result


def warm_up(device: torch.device, dtype: torch.dtype) -> None:
    """Load and compile the kernel for features of this type, so that no frame waits for it."""
    with torch.no_grad():
        features = torch.zeros(1, 1, 1, 1, dtype=dtype, device=device)
        local_correlation(features, features, 0)
