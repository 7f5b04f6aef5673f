"""Building blocks of the autoencoder.

Attribute names are the published keys.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.batch_norm import StoredBatchNorm
from vsvfi.models.ldmvfi.attention import MaxViT

WINDOW = 8
"""The attention window of the autoencoder."""

HEAD = 32
"""Channels of a head of the cross-attention."""


def norm(channels: int) -> nn.GroupNorm:
    """Return the autoencoder's GroupNorm, whose epsilon differs from the U-Net's."""
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """Two convolutions with a skip connection, projected if the channels change."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.nin_shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, h, w] to [B, outputs, h, w]."""
        hidden = self.conv1(activated(self.norm1(x)))
        hidden = self.conv2(activated(self.norm2(hidden)))
        result: Tensor = self.nin_shortcut(x) + hidden
        return result


class Middle(nn.Module):
    """Two residual blocks with single-head attention between them, at the latent's size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = MaxViT(channels, 1, WINDOW)
        self.block_2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return result


class Downsample(nn.Module):
    """Halve the size by a convolution of stride 2, padded by zeros at the right and the bottom only.

    The U-Net's downsampling pads all sides.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)))
        return halved


class Upsample(nn.Module):
    """Double the size by nearest-neighbour upsampling and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled


class SqueezeExcitation(nn.Module):
    """Scale every channel by a function of all channel means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Identity(),
            nn.Linear(channels, channels // 4, bias=False),
            nn.SiLU(),
            nn.Linear(channels // 4, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        factor: Tensor = self.gate(x.mean((2, 3)))
        return x * factor[:, :, None, None]


class CrossAttention(MaxViT):
    """Cross-attention to the features of both neighbours, projected to the image's channels.

    Args:
        channels: of the image; the context has twice as many.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels // HEAD, WINDOW)
        wide = 4 * channels
        self.proj_in = nn.Sequential(
            nn.Conv2d(2 * channels, wide, 1),
            StoredBatchNorm(wide),
            nn.GELU(),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
            StoredBatchNorm(wide),
            nn.GELU(),
            SqueezeExcitation(wide),
            nn.Conv2d(wide, channels, 1),
            StoredBatchNorm(channels),
        )

    def forward(self, image: Tensor, neighbours: Tensor | None = None) -> Tensor:
        """Map [B, C, h, w] and the features of both neighbours [B, 2C, h, w] to [B, C, h, w]."""
        return super().forward(image, self.proj_in(neighbours))


def activated(x: Tensor) -> Tensor:
    """Apply SiLU, in place unless gradients need the old values."""
    return functional.silu(x, inplace=not (torch.is_grad_enabled() and x.requires_grad))
