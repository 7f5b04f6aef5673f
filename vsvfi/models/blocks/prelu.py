"""A per-channel PReLU that is fast in 16-bit types on the CPU in the channels-last format."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_PIXELS = 64
"""Maximum number of pixels that are viewed as one pixel with that many times the channels."""


class PReLU(nn.PReLU):
    """`nn.PReLU` with the same weights and bit-identical results.

    In 16-bit types on the CPU the slopes are repeated, so that one vector instruction covers several pixels. In float32
    torch is as fast by itself.
    """

    def forward(self, input: Tensor) -> Tensor:
        channels = self.num_parameters
        pixels = input.numel() // max(channels, 1)
        group = min(pixels & -pixels, _PIXELS)  # the largest power of two that divides their number
        if (
            input.device.type != "cpu"
            or input.dtype is torch.float32
            or input.dim() != 4
            or channels == 1
            or group == 1
            or torch.compiler.is_exporting()
        ):
            return super().forward(input)
        last = input.permute(0, 2, 3, 1)
        if not last.is_contiguous():
            return super().forward(input)
        flat = functional.prelu(last.view(-1, group * channels), self.weight.repeat(group))
        return flat.view(last.shape).permute(0, 3, 1, 2)
