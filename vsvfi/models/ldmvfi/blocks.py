"""Parts of the auto-encoder that its encoder and its decoder share, or that the decoder is made of.

Attribute names are the published keys.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.batch_norm import StoredBatchNorm
from vsvfi.models.ldmvfi.attention import MaxViT

WINDOW = 8
"""The attention's window in the auto-encoder."""

HEAD = 32
"""Channels of a head of the cross-attention."""


def norm(channels: int) -> nn.GroupNorm:
    """The auto-encoder's epsilon is not the U-Net's."""
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """x, brought to the channels of the result, plus two convolutions of it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.nin_shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, h, w] -> [B, outputs, h, w]."""
        hidden = self.conv1(activated(self.norm1(x)))
        hidden = self.conv2(activated(self.norm2(hidden)))
        result: Tensor = self.nin_shortcut(x) + hidden
        return result


class Middle(nn.Module):
    """At the latent's size: two residual blocks with attention of one head between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = MaxViT(channels, 1, WINDOW)
        self.block_2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return result


class Downsample(nn.Module):
    """Half the size: a zero column at the right and a zero row below, then a convolution of stride 2 (not the U-Net's
    kind).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)))
        return halved


class Upsample(nn.Module):
    """Twice the size: every pixel four times, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled


class SqueezeExcitation(nn.Module):
    """Every channel times a factor that follows from the means of all of them over the whole picture."""

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
    """A picture looks at the features of both neighbours, projected to its own channels.

    Args:
        channels: of the picture; the context has twice as many.
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
        """[B, C, h, w] and the features of both neighbours [B, 2C, h, w] -> [B, C, h, w]."""
        return super().forward(image, self.proj_in(neighbours))


def activated(x: Tensor) -> Tensor:
    """SiLU, in place where no gradient needs what was there."""
    return functional.silu(x, inplace=not (torch.is_grad_enabled() and x.requires_grad))
