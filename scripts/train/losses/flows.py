"""IFRNet's losses beside the frame: geometry consistency and task-oriented flow distillation (paper, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from scripts.train.losses.pixels import ternary_distance

DECAY = 0.3
"""How fast the weight of the teacher falls with its distance in pixels from the final flow."""

_FACTORS = (2, 4, 8)


def geometry(prediction: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """Compare intermediate features with the encoder's features of the true frame.

    The latter keep their gradient: the encoder is trained from both sides.

    Args:
        prediction: features of the decoders, [B, C, h, w] each.
        truth: features of the true frame at the same levels.
    """
    parts = [ternary_distance(one, other, 3, 1) for one, other in zip(prediction, truth, strict=True)]
    return torch.stack(parts).sum()


def robust_penalty(difference: Tensor, weight: Tensor) -> Tensor:
    """Return (d^2 + eps^2)^(w/2), about |d| for weight 1 and about 1 for weight 0."""
    epsilon = 10 ** (-(10 * weight - 1) / 3)
    penalty: Tensor = (difference.square() + epsilon.square()) ** (weight / 2)
    return penalty


def teacher_weight(flow: Tensor, teacher: Tensor) -> Tensor:
    """Return the weight of the teacher's flow [B, 2, H, W] where the network's final flow is: [B, 1, H, W]."""
    distance = (flow.detach() - teacher).square().sum(1, keepdim=True).sqrt()
    return torch.exp(-DECAY * distance)


def distillation_terms(flows: Sequence[Tensor], teacher: Tensor) -> list[Tensor]:
    """Return the term of every level, without its factor of 0.01.

    Args:
        flows: F^(1), F^(2), F^(3), F^(4), finest first: [B, 4, h, w] in pixels of their own grid.
        teacher: [B, 4, H, W].
    """
    final, *coarse = flows
    terms = []
    for factor, flow in zip(_FACTORS, coarse, strict=True):
        enlarged = factor * functional.interpolate(flow, scale_factor=factor, mode="bilinear", align_corners=False)
        parts = []
        for begin in (0, 2):
            target = teacher[:, begin : begin + 2]
            weight = teacher_weight(final[:, begin : begin + 2], target)
            parts.append(robust_penalty(enlarged[:, begin : begin + 2] - target, weight).mean())
        terms.append(parts[0] + parts[1])
    return terms


def distillation(flows: Sequence[Tensor], teacher: Tensor) -> Tensor:
    """Return the sum of `distillation_terms`."""
    return torch.stack(distillation_terms(flows, teacher)).sum()
