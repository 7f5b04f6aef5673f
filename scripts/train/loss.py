"""What training minimises: the picture's error at every pixel and at every scale, and the error of the flows at every level."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from scripts.train.data import Sample
from vsvfi.models.ifrnet.network import IFRNet
from vsvfi.ops.warp import backward_warp


def charbonnier(error: Tensor, softness: float = 1e-3) -> Tensor:
    """Mean of a smooth absolute value."""
    return torch.sqrt(error * error + softness * softness).mean()


def laplacian(error: Tensor, levels: int = 4) -> Tensor:
    """Mean absolute error of the Laplacian pyramid (which is linear, so that one pyramid of the error suffices): [B, 3, H, W] -> []."""
    total = error.new_zeros(())
    for level in range(levels):
        smaller = functional.avg_pool2d(error, 2)
        band = error - functional.interpolate(smaller, size=error.shape[-2:], mode="bilinear", align_corners=False)
        total = total + charbonnier(band) * 2**level
        error = smaller
    return total / levels


def distillation(estimates: list[Tensor], truth: Tensor) -> Tensor:
    """Mean error of the flows [B, 4, h, w] of all levels, in pixels of the full size, against the exact one [B, 4, H, W].

    Relative to the mean motion of each sample: otherwise the few large motions, which are learnt last, drown the small ones, which are learnt first.
    """
    total = truth.new_zeros(())
    motion = truth.abs().mean((1, 2, 3), keepdim=True) + 0.3
    for flow in estimates:
        ratio = truth.shape[-1] // flow.shape[-1]
        exact = truth[..., ratio // 2 :: ratio, ratio // 2 :: ratio] if ratio > 1 else truth
        total = total + charbonnier((flow * ratio - exact) / motion, 0.03)
    return total / len(estimates)


def losses(network: IFRNet, sample: Sample, flow_weight: float) -> tuple[Tensor, dict[str, float], Tensor]:
    """The sum to minimise, its parts, and the picture [B, 3, H, W] (not clamped, which would hide errors from the gradient)."""
    pair = network.prepare_pair(network.encode_frame(sample.first), network.encode_frame(sample.second))
    levels = network.estimate(pair, sample.t)
    flow, mask, residual = (value.float() for value in levels[-1])
    first, second = backward_warp(pair.first.float(), flow[:, :2]), backward_warp(pair.second.float(), flow[:, 2:])
    picture = second + mask * (first - second) + pair.mean + residual
    error = picture - sample.truth
    parts = {
        "charbonnier": charbonnier(error),
        "laplacian": laplacian(error),
        "flow": distillation([level[0].float() for level in levels], sample.flow),
        "still": ((error.abs() + residual.abs()).mean((1, 2, 3)) * sample.still).sum() / len(sample.still),
    }
    times = sample.t.reshape(-1, 1, 1, 1)
    blended = sample.first + times * (sample.second - sample.first) - sample.truth
    total = parts["charbonnier"] + 0.5 * parts["laplacian"] + flow_weight * parts["flow"] + 4 * parts["still"]
    values = {name: float(part.detach()) for name, part in parts.items()}
    return total, {**values, "blend": float(charbonnier(blended)), "still_flow": float(distillation([torch.zeros_like(sample.flow)], sample.flow))}, picture
