"""The training loss: image error per pixel and over a pyramid, and flow error at every level."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from scripts.train.architecture import Estimate
from scripts.train.data import Sample


def charbonnier(error: Tensor, softness: float = 1e-3) -> Tensor:
    """Mean of the Charbonnier loss, a smooth absolute value."""
    return torch.sqrt(error * error + softness * softness).mean()


def deviation(error: Tensor, softness: float = 1e-3) -> Tensor:
    """Root mean square error of every image [B, C, H, W], averaged over the batch, as in PSNR.

    For ambiguous motion its optimum is the mean of the possible images, that of `charbonnier` is the median.
    """
    return torch.sqrt(error.square().mean((1, 2, 3)) + softness * softness).mean()


def laplacian(error: Tensor, levels: int = 4) -> Tensor:
    """Mean absolute error of the Laplacian pyramid: [B, 3, H, W] -> [].

    The pyramid is linear, so that one pyramid of the error suffices.
    """
    total = error.new_zeros(())
    for level in range(levels):
        smaller = functional.avg_pool2d(error, 2)
        band = error - functional.interpolate(smaller, size=error.shape[-2:], mode="bilinear", align_corners=False)
        total = total + charbonnier(band) * 2**level
        error = smaller
    return total / levels


def census(image: Tensor, truth: Tensor, reach: int = 3) -> Tensor:
    """Soft ternary census distance (UnFlow) between two images [B, 3, H, W].

    Compares each pixel's differences to its neighbours within `reach`, so that edges count and brightness does not.
    """

    side = 2 * reach + 1

    def signs(image: Tensor) -> Tensor:
        grey = 255 * (image * image.new_tensor((0.299, 0.587, 0.114)).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
        neighbours = functional.unfold(grey, side)  # [B, side * side, pixels that have all neighbours]
        difference = neighbours - neighbours[:, side * side // 2, None]
        return difference / torch.sqrt(0.81 + difference * difference)

    squares = (signs(image) - signs(truth)).square()
    distance: Tensor = (squares / (0.1 + squares)).mean()
    return distance


def sharpness(image: Tensor, truth: Tensor, least: float = 1e-4) -> Tensor:
    """Mean absolute logarithm of the ratio of both images' gradient energies, [B, 3, H, W] each."""
    energies = [
        shown.diff(dim=2).square().mean((1, 2, 3)) + shown.diff(dim=3).square().mean((1, 2, 3)) + least
        for shown in (image, truth)
    ]
    return (energies[0] / energies[1]).log().abs().mean()


def distillation(estimates: list[Tensor], truth: Tensor) -> Tensor:
    """Mean error of the flows [B, 4, h, w] of all levels against the exact one [B, 4, H, W].

    Measured in pixels of the full size, relative to the mean motion of each sample: otherwise the few large motions,
    which are learnt last, drown the small ones, which are learnt first.
    """
    total = truth.new_zeros(())
    motion = truth.abs().mean((1, 2, 3), keepdim=True) + 0.1
    for flow in estimates:
        ratio = truth.shape[-1] // flow.shape[-1]
        exact = truth[..., ratio // 2 :: ratio, ratio // 2 :: ratio] if ratio > 1 else truth
        total = total + charbonnier((flow * ratio - exact) / motion, 0.03)
    return total / max(len(estimates), 1)


def losses(
    estimate: Estimate,
    sample: Sample,
    flow_weight: float,
    deviation_weight: float = 0.0,
    census_weight: float = 0.0,
    sharpness_weight: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the total loss, and its terms detached, beside what blending and no flow have."""
    error = estimate.images[-1] - sample.truth
    parts = {
        "charbonnier": charbonnier(error),
        "laplacian": laplacian(error),
        "deviation": deviation(error),
        "flow": distillation(estimate.flows, estimate.exact),
        "still": ((error.abs() + estimate.residual.abs()).mean((1, 2, 3)) * sample.still).sum() / len(sample.still),
    }
    total = (
        parts["charbonnier"]
        + 0.5 * parts["laplacian"]
        + deviation_weight * parts["deviation"]
        + flow_weight * parts["flow"]
        + 4 * parts["still"]
    )
    if census_weight:
        parts["census"] = census(estimate.images[-1], sample.truth)
        total = total + census_weight * parts["census"]
    if sharpness_weight:
        parts["sharpness"] = sharpness(estimate.images[-1], sample.truth)
        total = total + sharpness_weight * parts["sharpness"]
    for image in estimate.images[:-1]:  # coarse images feed the next level
        truth = functional.avg_pool2d(sample.truth, sample.truth.shape[-1] // image.shape[-1])
        total = total + 0.25 * charbonnier(image - truth) / len(estimate.images)
    blended = sample.first + sample.t.reshape(-1, 1, 1, 1) * (sample.second - sample.first) - sample.truth
    parts["blend"] = charbonnier(blended)
    parts["no_flow"] = distillation([torch.zeros_like(estimate.exact)], estimate.exact)
    return total, {name: part.detach() for name, part in parts.items()}
