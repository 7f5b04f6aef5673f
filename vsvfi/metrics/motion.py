"""Metrics of optical flow: end-point error, and the PSNR of normalised motion (VTF, VSF)."""

from __future__ import annotations

import torch
from torch import Tensor

from vsvfi.errors import ArgumentError
from vsvfi.metrics.images import to_double


def end_point_error(flow: Tensor, truth: Tensor) -> Tensor:
    """Return the mean length of the flow difference in pixels.

    Args:
        flow: [..., 2, H, W] in pixels, x then y.
        truth: the same shape.

    Returns:
        float64 of the leading axes' shape.

    Raises:
        ArgumentError: shapes are not those of flows, or differ.
    """
    _check("flow", flow, truth)
    return (to_double(flow) - to_double(truth)).square().sum(-3).sqrt().mean((-2, -1))


def motion_scale(forth: Tensor, back: Tensor) -> Tensor:
    """Return the largest absolute component of both input flows [..., 2, H, W], GIMM's normalisation."""
    _check("forth", forth, back)
    return torch.stack((forth, back)).abs().amax((0, -3, -2, -1)).double()


def motion_psnr(output: Tensor, truth: Tensor, scale: Tensor | float) -> Tensor:
    """Return the PSNR in decibels of normalised motion, over both components and all pixels, peak 1.

    Args:
        output: [..., 2, H, W], the network's output, 0.5 being no motion.
        truth: the true motion in pixels, the same shape.
        scale: pixels that become 1, or 0 for the opposite direction; see `motion_scale`.

    Returns:
        float64 of the leading axes' shape; infinite for equal motion.

    Raises:
        ArgumentError: shapes are not those of flows, or differ, or the scale is not positive.
    """
    pixels = _pixels(output, truth, scale)
    normalised = (to_double(truth) / pixels + 1) / 2
    return -10 * torch.log10((to_double(output) - normalised).square().mean((-3, -2, -1)))


def motion_error(output: Tensor, truth: Tensor, scale: Tensor | float) -> Tensor:
    """Return the end-point error in pixels of normalised motion; arguments as for `motion_psnr`."""
    return end_point_error(_pixels(output, truth, scale) * (2 * to_double(output) - 1), truth)


def _pixels(output: Tensor, truth: Tensor, scale: Tensor | float) -> Tensor:
    _check("output", output, truth)
    pixels = torch.as_tensor(scale, dtype=torch.float64, device=output.device)
    if not bool((pixels > 0).all()):
        raise ArgumentError("scale", pixels.min().item(), "must be positive", "leave out pairs without any motion")
    return pixels[..., None, None, None].to(to_double(output).device)


def _check(name: str, flow: Tensor, truth: Tensor) -> None:
    shape = tuple(flow.shape)
    if len(shape) < 3 or shape[-3] != 2 or 0 in shape:
        raise ArgumentError(name, shape, "must be [..., 2, height, width]", "pass x and y as two channels")
    if shape != tuple(truth.shape):
        raise ArgumentError("truth", tuple(truth.shape), f"must have the shape {shape}", "crop both alike")
