"""The first two stages of the Twins-SVT-large backbone (Chu et al., NeurIPS 2021, arXiv 2104.13840).

They give features at a quarter and an eighth of the image's size. Each stage has a block of attention within windows of
7x7 tokens, a depthwise convolution as position encoding, and a block of attention to a reduced grid of all tokens.
Attribute names are the published keys.
"""

from __future__ import annotations

from torch import Tensor, nn

from vsvfi.models.flow.flowformer.attention import Perceptron, attend, unwindowed, windows

_HEAD = 32
"""Channels of a head."""


class LocalAttention(nn.Module):
    """Attention within windows.

    The zero padding of the last windows is attended to, since the weights were trained with it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // _HEAD
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = windows(x)
        q, k, v = self.qkv(tokens.flatten(0, 1)).chunk(3, -1)
        attended = attend(q, k, v, self.heads).view_as(tokens)
        result: Tensor = self.proj(unwindowed(attended, x.shape[1], x.shape[2]))
        return result


class GlobalAttention(nn.Module):
    """Attention of every token to all tokens, reduced by a strided convolution.

    Rows and columns that do not fill its kernel at the right and the bottom are ignored.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.heads = channels // _HEAD
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.sr = nn.Conv2d(channels, channels, reduction, reduction)
        self.norm = nn.LayerNorm(channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.norm(self.sr(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        k, v = self.kv(reduced).flatten(1, 2).chunk(2, -1)
        result: Tensor = self.proj(attend(self.q(x).flatten(1, 2), k, v, self.heads).view_as(x))
        return result


class Block(nn.Module):
    """Attention and an MLP, each with a residual connection."""

    def __init__(self, channels: int, attention: nn.Module) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = attention
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = Perceptron(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class PatchEmbed(nn.Module):
    """Embed patches of `size` x `size` pixels as tokens."""

    def __init__(self, inputs: int, channels: int, size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, channels, size, size)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return tokens


class PositionBlock(nn.Module):
    """A depthwise convolution with a residual connection; its zero padding encodes the position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, groups=channels))

    def forward(self, x: Tensor) -> Tensor:
        image = x.permute(0, 3, 1, 2)
        result: Tensor = (image + self.proj(image)).permute(0, 2, 3, 1)
        return result


class Twins(nn.Module):
    """Both stages of the backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embeds = nn.ModuleList((PatchEmbed(3, 128, 4), PatchEmbed(128, 256, 2)))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                Block(channels, LocalAttention(channels)), Block(channels, GlobalAttention(channels, reduction))
            )
            for channels, reduction in ((128, 8), (256, 4))
        )
        self.pos_block = nn.ModuleList((PositionBlock(128), PositionBlock(256)))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, 3, H, W] to [B, 128, H/4, W/4] and [B, 256, H/8, W/8], channels last in memory."""
        quarter = self._stage(0, image)
        return quarter, self._stage(1, quarter)

    def _stage(self, index: int, image: Tensor) -> Tensor:
        local, overall = self.blocks[index].children()
        tokens: Tensor = overall(self.pos_block[index](local(self.patch_embeds[index](image))))
        return tokens.permute(0, 3, 1, 2)


class Backbone(nn.Module):
    """A container that gives the backbone its published key."""

    def __init__(self) -> None:
        super().__init__()
        self.svt = Twins()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        stages: tuple[Tensor, Tensor] = self.svt(image)
        return stages
