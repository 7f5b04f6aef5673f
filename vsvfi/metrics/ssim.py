"""Structural similarity in the two variants that interpolation papers report."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vsvfi.errors import ArgumentError
from vsvfi.metrics.images import BYTE, as_floats, as_rounded, check, to_levels

type SsimForm = Literal["plain", "rounded", "255", "uniform"]
SSIM_FORMS = ("plain", "rounded", "255", "uniform")
_TAPS, _SIGMA, _BOX = 11, 1.5, 7
_ROWS = 128
"""Rows of the map per strip, which bounds the memory and fits the CPU cache."""


def ssim(prediction: Tensor, truth: Tensor, form: SsimForm = "plain") -> Tensor:
    """Return the structural similarity: 1 for equal images.

    The first three forms treat the image as a volume of C x H x W, with one Gaussian window of 11 taps (sigma 1.5)
    along all three axes and edges repeated; that mixes the channels, so values exceed the usual SSIM. Papers call it
    "matlab". The last one is scikit-image's: a box of 7x7, sample covariance, without border, channels averaged.

    Args:
        prediction: [..., C, H, W], floating point in [0, 1] or uint8, on any device; computed in float64.
        truth: the same shape.
        form: "plain", the volume of the values as they are;
            "rounded", of the prediction rounded to 8 bits;
            "255", of both rounded, in steps of 255;
            "uniform", the box, of both rounded to 8 bits.

    Returns:
        float64 of the leading axes' shape: [B] for a batch, a single number for one image.

    Raises:
        ArgumentError: shapes or types do not fit, a side is smaller than the window, or there is no such form.
    """
    check(prediction, truth, _BOX if form == "uniform" else _TAPS)
    match form:
        case "plain":
            measure, peak, pair = _volume, 1, as_floats(prediction, truth)
        case "rounded":
            measure, peak, pair = _volume, 1, as_rounded(prediction, truth)
        case "255":
            measure, peak, pair = _volume, BYTE, (to_levels(prediction), to_levels(truth))
        case "uniform":
            measure, peak, pair = _uniform, BYTE, (to_levels(prediction), to_levels(truth))
        case _:
            raise ArgumentError("form", form, "is not a form of SSIM", f"use one of {', '.join(SSIM_FORMS)}")
    images = [image.reshape(-1, *image.shape[-3:]) for image in pair]
    found = [measure(one, other, peak) for one, other in zip(*images, strict=True)]
    return torch.stack(found).reshape(prediction.shape[:-3])


def _volume(one: Tensor, other: Tensor, peak: float) -> Tensor:
    """Of one image [C, H, W], strip by strip."""
    channels, height, width = one.shape
    half = _TAPS // 2
    window = torch.exp(-(torch.arange(-half, half + 1, dtype=torch.float64, device=one.device) ** 2) / (2 * _SIGMA**2))
    taps = (window / window.sum()).tolist()
    mixing = torch.zeros(channels, channels, dtype=torch.float64, device=one.device)
    for channel in range(channels):
        for offset, tap in enumerate(taps, start=-half):
            mixing[channel, min(max(channel + offset, 0), channels - 1)] += tap
    columns = _clamped(-half, width + half, width, one.device)
    total = one.new_zeros(())
    for top in range(0, height, _ROWS):
        rows = _clamped(top - half, min(top + _ROWS, height) + half, height, one.device)
        a, b = (image.index_select(1, rows).index_select(2, columns) for image in (one, other))
        maps = torch.stack((a, b, a * a + b * b, a * b))
        maps = torch.einsum("kc,mchw->mkhw", mixing, _filtered(_filtered(maps, taps, 2), taps, 3))
        total += _similarity(maps, peak).sum()
    return total / one.numel()


def _uniform(one: Tensor, other: Tensor, peak: float) -> Tensor:
    """Of one image [C, H, W], strip by strip."""
    channels, height, width = one.shape
    border = _BOX - 1
    total = one.new_zeros(())
    for top in range(0, height - border, _ROWS):
        a, b = (image[:, top : top + _ROWS + border] for image in (one, other))
        maps = torch.stack((a, b, a * a + b * b, a * b))
        ones = [1.0] * _BOX
        maps = _filtered(_filtered(maps, ones, 2), ones, 3) / _BOX**2
        total += _similarity(maps, peak, _BOX**2 / (_BOX**2 - 1)).sum()
    return total / (channels * (height - border) * (width - border))


def _similarity(maps: Tensor, peak: float, bias: float = 1.0) -> Tensor:
    """Return the map of SSIM.

    Args:
        maps: local means of one image, the other, the sum of squares and the product.
        peak: the largest value.
        bias: factor on variances and covariance.
    """
    m, n, squares, product = maps
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    means = m * m + n * n
    both = m * n
    above = (2 * both + c1) * (2 * bias * (product - both) + c2)
    below = (means + c1) * (bias * (squares - means) + c2)
    found: Tensor = above / below
    return found


def _filtered(image: Tensor, taps: list[float], axis: int) -> Tensor:
    """Filter along one axis without padding."""
    length = image.shape[axis] - len(taps) + 1
    total = image.narrow(axis, 0, length) * taps[0]
    for offset, tap in enumerate(taps[1:], start=1):
        total.add_(image.narrow(axis, offset, length), alpha=tap)
    return total


def _clamped(first: int, last: int, length: int, device: torch.device) -> Tensor:
    """Return positions first..last-1, clamped to the edges."""
    return torch.arange(first, last, dtype=torch.int64, device=device).clamp(0, length - 1)
