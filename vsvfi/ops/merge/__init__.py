"""Merge two images that were moved to t by the masks and the residual of a synthesis network.

On CUDA one kernel computes it (`op`), where plain torch takes thirteen passes; other devices and training use the
definition (`reference`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from vsvfi.ops.merge import op, reference

__all__ = ["merge_images", "warm_up"]


def merge_images(output: Tensor, first: Tensor, second: Tensor, times: Tensor) -> Tensor:
    """Average two images by masks and time, and add a residual.

    Args:
        output: [B, 5, H, W] of any floating type, before its sigmoid: the residual, from -1 to 1, and both masks.
        first, second: [B, 3, H, W] float32.
        times: from the first to the second image, [B or 1, 1, 1, 1] float32.

    Returns:
        [B, 3, H, W] float32, not clamped.
    """
    tensors = (output, first, second)
    if output.device.type != "cuda" or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)):
        return reference.merge_images(output, first, second, times)
    result: Tensor = op.merge_images(output, first, second, times)
    return result


def warm_up(device: torch.device, dtype: torch.dtype) -> None:
    """Load and compile the kernel for outputs of this type, so that no frame waits for it."""
    with torch.no_grad():
        output = torch.zeros(1, 5, 1, 1, dtype=dtype, device=device)
        image = torch.zeros(1, 3, 1, 1, dtype=torch.float32, device=device)
        merge_images(output, image, image, image[:, :1])
