"""Sampling of images at moved positions by torch's own operator: bicubic, or of some pixels alone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


def sampled(image: Tensor, flow: Tensor, how: Literal["bilinear", "bicubic"], apart: int = 1) -> Tensor:
    """Sample `image` at (x + flow_x, y + flow_y), clamped to its border.

    Args:
        image: [B or 1, C, H, W] float32.
        flow: [B, 2, ceil(H / apart), ceil(W / apart)] float32 in pixels of `image`, x then y.
        how: the interpolation.
        apart: distance in pixels between the positions that are moved, along each axis, from the first on.

    Returns:
        [B, C, ceil(H / apart), ceil(W / apart)].
    """
    batch, _, rows, columns = flow.shape
    height, width = image.shape[2:]
    y, x = (apart * torch.arange(count, dtype=flow.dtype, device=flow.device) for count in (rows, columns))
    across = (flow[:, 0] + x) * (2 / max(width - 1, 1)) - 1
    down = (flow[:, 1] + y[:, None]) * (2 / max(height - 1, 1)) - 1
    places = torch.stack((across, down), 3)
    return functional.grid_sample(image.expand(batch, -1, -1, -1), places, how, "border", align_corners=True)
