"""Losses between a predicted frame and the true one: Charbonnier, census and Laplacian pyramid."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

_GREY = (0.2989, 0.5870, 0.1140)
"""Weights of the channels in memory order: UPR-Net applies the weight of red to blue."""

_BANDS = 5
_SIDE = 2**_BANDS


def charbonnier(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of sqrt(e^2 + 1e-6), the smooth absolute error."""
    return ((prediction - truth).square() + 1e-6).sqrt().mean()


def ternary_distance(prediction: Tensor, truth: Tensor, kernel: int, border: int) -> Tensor:
    """Compare how the neighbours of every pixel differ from it, each channel on its own.

    The border is excluded, but counts in the mean as zero, as in the published programs.

    Args:
        prediction: [B, C, H, W].
        truth: the same shape; its gradient is computed where it needs one.
        kernel: side of the neighbourhood, odd; beyond the image, neighbours are zero.
        border: excluded pixels along each side.
    """
    batch, channels, height, width = prediction.shape
    total = prediction.new_zeros(batch, height, width)
    reach = kernel // 2
    padded = [functional.pad(image, (reach,) * 4) for image in (prediction, truth)]
    for row in range(kernel):
        for column in range(kernel):
            if row == column == reach:
                continue  # the centre differs by zero from itself
            signs = []
            for wide, image in zip(padded, (prediction, truth), strict=True):
                step = wide[..., row : row + height, column : column + width] - image
                signs.append(step / (0.81 + step.square()).sqrt())
            square = (signs[0] - signs[1]).square()
            total = total + (square / (0.1 + square)).sum(1)
    inner = total[:, border : height - border, border : width - border]
    return inner.sum() / (kernel * kernel * channels * batch * height * width)


def census(prediction: Tensor, truth: Tensor, kind: Literal["mean", "weighted"]) -> Tensor:
    """Census loss over 7x7 neighbourhoods of grey images; blind to brightness.

    Args:
        prediction: [B, 3, H, W].
        truth: the same shape; constant.
        kind: "mean" averages the channels (IFRNet, GIMM-VFI); "weighted" weights them in memory order and excludes one
            pixel at the border instead of three (UPR-Net, which passes BGR).
    """
    images = []
    for image in (prediction, truth.detach()):
        if kind == "mean":
            images.append(image.mean(1, keepdim=True))
        else:
            weights = torch.tensor(_GREY, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
            images.append((image * weights).sum(1, keepdim=True))
    return ternary_distance(images[0], images[1], 7, 3 if kind == "mean" else 1)


def census_mean(prediction: Tensor, truth: Tensor) -> Tensor:
    """Return `census` of IFRNet and GIMM-VFI."""
    return census(prediction, truth, "mean")


def census_weighted(prediction: Tensor, truth: Tensor) -> Tensor:
    """Return `census` of UPR-Net."""
    return census(prediction, truth, "weighted")


def laplacian_bands(image: Tensor) -> list[Tensor]:
    """Decompose an image [B, C, H, W] into five bands, fine to coarse.

    Raises:
        ValueError: sides are not multiples of 32, or below 64.
    """
    if any(side % _SIDE or side < 2 * _SIDE for side in image.shape[-2:]):
        raise ValueError(
            f"laplacian: size={image.shape[-1]}x{image.shape[-2]}, sides must be multiples of {_SIDE} and at least "
            f"{2 * _SIDE}; choose another crop"
        )
    bands = []
    for _ in range(_BANDS):
        reduced = _blurred(image)[..., ::2, ::2]
        spread = torch.zeros_like(image)
        spread[..., ::2, ::2] = 4 * reduced
        bands.append(image - _blurred(spread))
        image = reduced
    return bands


def laplacian(prediction: Tensor, truth: Tensor) -> Tensor:
    """Return the sum of the mean absolute differences of all bands."""
    bands: list[Tensor] = [band.abs().mean() for band in laplacian_bands(prediction - truth)]  # the pyramid is linear
    return torch.stack(bands).sum()


def _blurred(image: Tensor) -> Tensor:
    """Blur with the outer product of [1 4 6 4 1] / 16, mirrored at the border."""
    batch, channels, height, width = image.shape
    line = torch.tensor((1.0, 4.0, 6.0, 4.0, 1.0), dtype=image.dtype, device=image.device) / 16
    flat = functional.pad(image.reshape(batch * channels, 1, height, width), (2, 2, 2, 2), mode="reflect")
    return functional.conv2d(flat, torch.outer(line, line)[None, None]).reshape(image.shape)
