"""Add a bias and rectify, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def activate(values: Tensor, bias: Tensor, slopes: Tensor) -> Tensor:
    """Add the bias, then multiply what is negative by its channel's slope.

    Args:
        values: [B, C, H, W].
        bias: [C].
        slopes: [C], or [1] for all channels.

    Returns:
        The shape, type and strides of `values`.
    """
    biased = values + bias[:, None, None]
    return torch.where(biased > 0, biased, biased * slopes[:, None, None])
