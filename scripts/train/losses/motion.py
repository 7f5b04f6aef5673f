"""GIMM's losses: normalised flow (stage 1) and the whole loss of stage 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.train.losses.perceptual import Perceptual
from scripts.train.losses.pixels import census_mean, charbonnier, laplacian

FLOW_WEIGHT = 0.1
PREVIEW_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class NormalisedFlows:
    """Flows of a triplet divided by the largest displacement between the outer frames, mapped to about [0, 1].

    Attributes:
        first, second: [B, 2, H, W] at t = 0 and t = 1.
        middle: the same at t = 1/2, where known; its values may exceed [0, 1].
        scale: the divisor, [B, 1, 1, 1].
    """

    first: Tensor
    second: Tensor
    middle: Tensor | None
    scale: Tensor


def normalised(forth: Tensor, back: Tensor, middle: tuple[Tensor, Tensor] | None = None) -> NormalisedFlows:
    """Normalise flows [B, 2, H, W] of the outer frames, and of the middle frame to the second and to the first."""
    extents = [flow.abs().amax((1, 2, 3), keepdim=True) for flow in (forth, back)]
    scale = torch.maximum(extents[0], extents[1]).clamp(min=1e-8)
    between = None if middle is None else ((middle[0] - middle[1]) / scale + 1) / 2
    return NormalisedFlows((forth / scale + 1) / 2, (-back / scale + 1) / 2, between, scale)


def flow_loss(answer: Tensor, target: Tensor) -> Tensor:
    """Return the mean square error per sample, averaged over the samples."""
    return (answer - target).square().flatten(1).mean(1).mean()


@dataclass(frozen=True, slots=True)
class StageTwo:
    """Outputs of GIMM-VFI that its loss compares.

    Attributes:
        prediction, preview: [B, 3, H, W], clamped.
        answers: normalised flow at some pixels for t = 0 and t = 1, [B, N, 2] each.
        targets: the estimator's flow there; constant.
    """

    prediction: Tensor
    preview: Tensor
    answers: tuple[Tensor, Tensor]
    targets: tuple[Tensor, Tensor]


def stage_two(made: StageTwo, truth: Tensor, perceptual: Perceptual | None) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the loss of stage 2: its total and its parts, which hold the preview's share but not their weight."""
    parts = {}
    for name, loss in (("lap", laplacian), ("census", census_mean), ("l1", charbonnier)):
        parts[name] = loss(made.prediction, truth) + PREVIEW_WEIGHT * loss(made.preview, truth)
    if perceptual is not None:
        both = [perceptual(image, truth).mean() for image in (made.prediction, made.preview)]
        parts["lpips"] = both[0] + PREVIEW_WEIGHT * both[1]
    parts["rec"] = _flow_terms(made.answers, made.targets)
    total = sum(parts.values(), start=-parts["rec"]) + FLOW_WEIGHT * parts["rec"]
    return total, parts


def _flow_terms(answers: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    terms = [(answer - target.detach()).square().mean() / 2 for answer, target in zip(answers, targets, strict=True)]
    return terms[0] + terms[1]
