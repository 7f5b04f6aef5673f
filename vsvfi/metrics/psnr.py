"""Peak signal to noise ratio in its four forms, and the interpolation error of Middlebury."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vsvfi.errors import ArgumentError
from vsvfi.metrics.images import BYTE, as_floats, as_rounded, check, to_levels

type PsnrForm = Literal["plain", "rounded", "uint8", "capped"]
PSNR_FORMS = ("plain", "rounded", "uint8", "capped")
_CAP = 1e-8
"""Added to the mean square, so that equal images have 80 dB."""


def psnr(prediction: Tensor, truth: Tensor, form: PsnrForm = "plain") -> Tensor:
    """Return the peak signal-to-noise ratio in decibels: higher is better, infinite for equal images.

    The mean square is taken over all pixels and channels of an image; average the results, not the squares.

    Args:
        prediction: [..., C, H, W], floating point in [0, 1] (not limited to it) or uint8, on any device.
        truth: the same shape.
        form: "plain", of the values as they are;
            "rounded", of the prediction rounded to 8 bits;
            "uint8", of both rounded to 8 bits;
            "capped", of both rounded, at most 80 dB (as piq computes it).

    Returns:
        float64 of the leading axes' shape: [B] for a batch, a single number for one image.

    Raises:
        ArgumentError: shapes or types do not fit, or there is no such form.

    Example:
        >>> float(psnr(torch.full((3, 16, 16), 0.6), torch.full((3, 16, 16), 0.5)).__round__(3))
        20.0
    """
    check(prediction, truth)
    match form:
        case "plain":
            error = _mean_square(*as_floats(prediction, truth))
        case "rounded":
            error = _mean_square(*as_rounded(prediction, truth))
        case "uint8" | "capped":
            error = _mean_square(to_levels(prediction), to_levels(truth)) / BYTE**2
            if form == "capped":
                error = error + _CAP
        case _:
            raise ArgumentError("form", form, "is not a form of PSNR", f"use one of {', '.join(PSNR_FORMS)}")
    return -10 * torch.log10(error)


def interpolation_error(prediction: Tensor, truth: Tensor, *, rms: bool = False) -> Tensor:
    """Return the mean absolute difference of 8-bit values, in units of 1/255: lower is better.

    Args:
        prediction, truth: as for `psnr`.
        rms: return the root mean square instead, which the Middlebury site reports under the same name.

    Returns:
        float64 of the leading axes' shape.

    Raises:
        ArgumentError: shapes or types do not fit.
    """
    check(prediction, truth)
    levels = to_levels(prediction), to_levels(truth)
    return _mean_square(*levels).sqrt() if rms else (levels[0] - levels[1]).abs().mean((-3, -2, -1))


def _mean_square(prediction: Tensor, truth: Tensor) -> Tensor:
    return (prediction - truth).square().mean((-3, -2, -1))
