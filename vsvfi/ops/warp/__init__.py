"""Backward warping: sample an image where a flow points to.

On CUDA one kernel computes it (`op`); other devices and training use the definition in plain torch (`reference`).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from vsvfi.ops.warp import op, reference
from vsvfi.ops.warp.reference import backward_warp_at, resize_bilinear

__all__ = ["backward_warp", "backward_warp_at", "resize_bilinear", "warm_up"]


def backward_warp(image: Tensor, flow: Tensor, top: int | None = None) -> Tensor:
    """Sample `image` bilinearly at (x + flow_x, y + flow_y), in pixels.

    Positions outside the image are clamped to its border.

    Args:
        image: [B, C, H, W] or [1, C, H, W] (shared by the whole batch), any floating type.
        flow: [B, 2, H, W], x then y; used in float32. NaN counts as no motion, infinity as the border.
        top: first row of the image that the flow covers, if the flow only covers a strip of rows.

    Returns:
        [B, C, H, W] in the type of `image`, with as many rows as the flow; channels last in memory on CUDA.

    Raises:
        ValueError: the sizes differ, or the strip is not within the image.
    """
    if flow.device.type != "cuda" or (torch.is_grad_enabled() and (image.requires_grad or flow.requires_grad)):
        return reference.backward_warp(image, flow, top)
    reference.check(image, flow, top)
    result: Tensor = op.warp(image, flow, top or 0)
    return result


def warm_up(device: torch.device, dtypes: Iterable[torch.dtype]) -> None:
    """Load and compile the kernel for images of these types, so that no frame waits for it."""
    with torch.no_grad():
        for dtype in {torch.float32, *dtypes}:
            image = torch.zeros(1, 1, 2, 2, dtype=dtype, device=device)
            backward_warp(image, torch.zeros(1, 2, 2, 2, dtype=torch.float32, device=device))
