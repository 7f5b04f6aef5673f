"""Bicubic sampling of images at moved positions by torch's own operator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.models.blocks.constants import Constants


def sampled(image: Tensor, flow: Tensor, constants: Constants) -> Tensor:
    """Sample `image` at (x + flow_x, y + flow_y), clamped to its border, by a bicubic through the pixels around.

    Args:
        image: [B or 1, C, H, W] float32.
        flow: [B, 2, H, W] float32 in pixels, x then y.
        constants: what is computed once.

    Returns:
        [B, C, H, W].
    """
    batch, _, height, width = flow.shape
    across, down = (2 / max(length - 1, 1) for length in (width, height))  # a pixel in `grid_sample`'s coordinates
    x, y = constants.get(
        ("places", height, width, flow.device),
        lambda: (_places(width, across, flow.device), _places(height, down, flow.device)[:, None]),
    )
    places = torch.stack((torch.add(x, flow[:, 0], alpha=across), torch.add(y, flow[:, 1], alpha=down)), 3)
    return functional.grid_sample(image.expand(batch, -1, -1, -1), places, "bicubic", "border", align_corners=True)


def _places(length: int, scale: float, device: torch.device) -> Tensor:
    return scale * torch.arange(length, dtype=torch.float32, device=device) - 1
