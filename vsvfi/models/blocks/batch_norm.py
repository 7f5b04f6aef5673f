"""Batch normalisation in inference mode, by stored statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class StoredBatchNorm(nn.Module):
    """`nn.BatchNorm2d` in inference mode, with the same keys but for the batch counter, which is unused.

    Args:
        channels: of the input [B, C, H, W].
        eps: added to the variance.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels, dtype=torch.float32, device="cpu"))
        self.bias = nn.Parameter(torch.zeros(channels, dtype=torch.float32, device="cpu"))
        self.register_buffer("running_mean", torch.zeros(channels, dtype=torch.float32, device="cpu"))
        self.register_buffer("running_var", torch.ones(channels, dtype=torch.float32, device="cpu"))

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )
