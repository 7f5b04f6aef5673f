"""Backward bilinear warping and factor-exact bilinear resizing, in plain torch.

Positions are float32 for any image type: half-precision positions are off by up to half a pixel beyond column 1000, and
torch's half-precision `grid_sample` on the CPU is unsafe.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor

import torch
from torch import Tensor
from torch.nn import functional


def backward_warp(image: Tensor, flow: Tensor, top: int | None = None) -> Tensor:
    """Sample `image` bilinearly at (x + flow_x, y + flow_y), in pixels.

    Positions outside the image are clamped to its border.

    Args:
        image: [B, C, H, W] or [1, C, H, W] (shared by the whole batch), any floating type.
        flow: [B, 2, H, W], x then y; used in float32, in float64 if the image is too. NaN counts as no motion,
            infinity as the border.
        top: first row of the image that the flow covers, if the flow only covers a strip of rows.

    Returns:
        [B, C, H, W] in the type of `image`, with as many rows as the flow.

    Raises:
        ValueError: the sizes differ, or the strip is not within the image.
    """
    check(image, flow, top)
    return warp_strip(image, flow, top or 0)


def check(image: Tensor, flow: Tensor, top: int | None) -> None:
    """Check the arguments of `backward_warp`.

    Raises:
        ValueError: see `backward_warp`.
    """
    height, width = image.shape[-2:]
    first, count = (0, height) if top is None else (top, flow.shape[-2])
    if flow.shape[-2:] != (count, width) or first < 0 or first + count > height:
        strip = "" if top is None else f" at top={top}"
        raise ValueError(
            f"backward_warp: flow={tuple(flow.shape)}{strip}, must have the size of "
            f"image={tuple(image.shape)}; resize the flow first"
        )


def warp_strip(image: Tensor, flow: Tensor, top: int) -> Tensor:
    """Like `backward_warp`, for checked arguments; the flow covers the image's rows from `top` on."""
    columns = torch.arange(image.shape[-1], dtype=torch.float32, device=flow.device)
    rows = torch.arange(top, top + flow.shape[-2], dtype=torch.float32, device=flow.device)
    return backward_warp_at(image, flow, rows, columns)


def backward_warp_at(image: Tensor, flow: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Like `backward_warp`, but only at the given rows and columns.

    NaN flow counts as no motion, infinity as the border.

    Args:
        image: [B, C, H, W] or [1, C, H, W], any floating type.
        flow: [B, 2, len(rows), len(columns)], the flow at those pixels, x then y.
        rows: float32 row numbers of the image.
        columns: float32 column numbers of the image.

    Returns:
        [B, C, len(rows), len(columns)] in the type of `image`.
    """
    height, width = image.shape[-2:]
    dtype = torch.float64 if image.dtype == flow.dtype == torch.float64 else torch.float32
    flow = torch.nan_to_num(flow.to(dtype), nan=0.0, posinf=1e9, neginf=-1e9)
    x = (flow[:, 0] + columns).mul(2 / max(width - 1, 1)) - 1
    y = (flow[:, 1] + rows[:, None]).mul(2 / max(height - 1, 1)) - 1
    grid = torch.stack((x, y), dim=-1)
    mode = "border"
    if grid.device.type == "mps":  # has no border mode; zeros with clamped positions are equivalent
        grid, mode = grid.clamp(-1, 1), "zeros"
    source = image.to(dtype).expand(grid.shape[0], -1, -1, -1)
    return functional.grid_sample(source, grid, mode="bilinear", padding_mode=mode, align_corners=True).to(image.dtype)


def resized_length(length: int, factor: Fraction) -> int:
    """`length * factor` to the nearest integer, halves up, in exact arithmetic."""
    return floor(length * factor + Fraction(1, 2))


def resize_bilinear(image: Tensor, factor: Fraction) -> Tensor:
    """Resize [B, C, H, W] by `factor`: bilinear, half-pixel centres, no antialiasing, edges clamped.

    Positions follow the factor itself, src = (dst + 0.5) / factor - 0.5, even where the output size had to be rounded.
    Factor 1 returns the input.
    """
    if factor == 1:
        return image
    height, width = (resized_length(size, factor) for size in image.shape[-2:])
    if height == image.shape[-2] * factor and width == image.shape[-1] * factor:
        return functional.interpolate(image, size=(height, width), mode="bilinear", align_corners=False)
    inverse = float(1 / factor)
    rows = _axis_positions(height, inverse, image.shape[-2], image.device)
    columns = _axis_positions(width, inverse, image.shape[-1], image.device)
    return _interpolate_axis(_interpolate_axis(image, rows, -2), columns, -1)


def _axis_positions(length: int, step: float, limit: int, device: torch.device) -> Tensor:
    """Source positions of one resized axis, clamped to [0, limit - 1]."""
    return ((torch.arange(length, dtype=torch.float32, device=device) + 0.5) * step - 0.5).clamp(0, limit - 1)


def _interpolate_axis(image: Tensor, positions: Tensor, axis: int) -> Tensor:
    """Linear interpolation along one axis at the given positions."""
    lower = positions.floor().long()
    upper = (lower + 1).clamp(max=image.shape[axis] - 1)
    weight = (positions - lower).to(image.dtype)
    if axis == -2:
        weight = weight[:, None]
    return torch.lerp(image.index_select(axis, lower), image.index_select(axis, upper), weight)
