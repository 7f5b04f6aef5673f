"""Shared functions of the image metrics: types, 8-bit rounding, checks."""

from __future__ import annotations

import torch
from torch import Tensor

from vsvfi.errors import ArgumentError

BYTE = 255


def check(
    prediction: Tensor, truth: Tensor, smallest: int = 1, *, channels: int | None = None, name: str = "truth"
) -> None:
    """Check two images, or batches of them, of one size.

    Args:
        prediction, truth: the images.
        smallest: least number of pixels of each side.
        channels: required number; None for any.
        name: of the second image, for messages.

    Raises:
        ArgumentError: shapes or types do not fit.
    """
    shape = tuple(prediction.shape)
    if len(shape) < 3 or 0 in shape:
        raise ArgumentError("prediction", shape, "must be [..., channels, height, width]", "add the missing axes")
    if shape != tuple(truth.shape):
        raise ArgumentError(name, tuple(truth.shape), f"must have the prediction's shape {shape}", "crop both alike")
    if channels not in (None, shape[-3]):
        raise ArgumentError("prediction", shape, f"must have {channels} channels", "convert both to RGB")
    if min(shape[-2:]) < smallest:
        rule = f"each side must have {smallest} pixels or more"
        raise ArgumentError("prediction", shape, rule, "use another metric for images this small")
    for label, image in (("prediction", prediction), (name, truth)):
        if image.dtype is not torch.uint8 and not image.is_floating_point():
            raise ArgumentError(
                label, image.dtype, "must be uint8 or floating point in [0, 1]", "divide it by its peak"
            )


def as_floats(prediction: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in float64.

    8-bit values are divided by 255 in the other's precision, so that equal images stay equal.
    """
    return _unit(prediction, truth), _unit(truth, prediction)


def as_rounded(prediction: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in float64, the prediction rounded to 8 bits."""
    rounded = to_levels(prediction).to(torch.uint8)
    return as_floats(rounded, truth)


def to_levels(image: Tensor) -> Tensor:
    """Round to 8-bit values in float64: to nearest, halves to even, limited to 0..255."""
    if image.dtype is not torch.uint8:
        image = (at_least_float32(image) * BYTE).round().clamp(0, BYTE)
    return to_double(image)


def at_least_float32(image: Tensor) -> Tensor:
    """Convert half precision to float32: it cannot represent 255 times a value."""
    return image.float() if image.dtype.itemsize < 4 else image


def to_double(image: Tensor) -> Tensor:
    """Convert to float64; on the CPU if the device does not support it."""
    return (image.cpu() if image.device.type == "mps" else image).to(torch.float64)


def _unit(image: Tensor, other: Tensor) -> Tensor:
    if image.dtype is torch.uint8:
        image = image.to(torch.float64 if other.dtype is torch.uint8 else at_least_float32(other).dtype) / BYTE
    return to_double(image)
