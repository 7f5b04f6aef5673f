"""VFIMamba's feature extractor: five stages, each at half the size of the last (paper section 3.1).

Stages 0 to 2 are convolutions on one frame; stages 3 and 4 mix both frames. Nothing here depends on t. Attribute names
are the published keys.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vsvfi.models.blocks.activated import Activated
from vsvfi.models.blocks.constants import Constants
from vsvfi.models.blocks.prelu import PReLU
from vsvfi.models.vfimamba.ssm import MixedBlock, Tokens, interleaved_paths


@dataclass(frozen=True, slots=True)
class Embedded:
    """One frame at the start of stage 3: its embedding, and the tokens of the first scan."""

    x: Tensor  # [B, h/8, w/8, C]
    tokens: Tokens


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution with a per-channel PReLU."""
    return Activated(nn.Conv2d(inputs, outputs, 3, stride, 1), PReLU(outputs))


class ConvBlock(nn.Module):
    """Two convolutions, each with PReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Activated(*conv(inputs, outputs), *conv(outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(x)
        return features


class PatchEmbed(nn.Module):
    """LayerNorm over the incoming channels, then a convolution of stride 2 without activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.proj = nn.Conv2d(inputs, outputs, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [M, c, h, w] to [M, h/2, w/2, C], channels last."""
        embedded: Tensor = self.proj(self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return embedded.permute(0, 2, 3, 1).contiguous()


class MixedStage(nn.Module):
    """A sequence of mixed-SSM blocks."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self._constants = Constants(self)
        self.blocks = nn.ModuleList(MixedBlock(channels) for _ in range(depth))

    def open(self, x: Tensor) -> Embedded:
        """Run the per-image part of the first block on images x [M, h, w, C]."""
        block = self.blocks[0]
        assert isinstance(block, MixedBlock)
        return Embedded(x, block.open(x))

    def forward(self, embedded: Embedded) -> Tensor:
        """Run the stage on the images of B pairs, first frames, then second ones: [2B, C, h, w]."""
        x, tokens = embedded.x, embedded.tokens
        size = x.shape[1], x.shape[2], x.device
        paths = self._constants.get(size, functools.partial(interleaved_paths, *size))
        for index, block in enumerate(self.blocks):
            assert isinstance(block, MixedBlock)
            x = block.close(x, tokens if index == 0 else block.open(x), paths)
        return x.permute(0, 3, 1, 2)


class Backbone(nn.Module):
    """The feature extractor, split into per-frame and per-pair parts.

    Args:
        width: F; stage i has F * 2^i channels.
        depth: mixed-SSM blocks of stages 3 and 4.
    """

    def __init__(self, width: int, depth: int = 3) -> None:
        super().__init__()
        c0, c1, c2, c3, c4 = (width << stage for stage in range(5))
        self.block0 = ConvBlock(3, c0)
        self.patch_embed1 = conv(c0, c1, 2)
        self.block1 = ConvBlock(c1, c1)
        self.patch_embed2 = conv(c1, c2, 2)
        self.block2 = ConvBlock(c2, c2)
        self.patch_embed3 = PatchEmbed(c2, c3)
        self.block3 = MixedStage(c3, depth)
        self.patch_embed4 = PatchEmbed(c3, c4)
        self.block4 = MixedStage(c4, depth)

    def single(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode one BGR image [B, 3, H, W]: features of stages 0 to 2, and what enters stage 3, [B, C, H/8, W/8]."""
        f0 = self.block0(image)
        f1 = self.block1(self.patch_embed1(f0))
        f2 = self.block2(self.patch_embed2(f1))
        return f0, f1, f2, self.patch_embed3(f2).permute(0, 3, 1, 2)

    def open(self, entering: Tensor) -> Embedded:
        """Start stage 3 of one frame."""
        return self.block3.open(entering.permute(0, 2, 3, 1).contiguous())

    def both(self, first: Embedded, second: Embedded) -> tuple[Tensor, Tensor]:
        """Compute the features of both frames in stages 3 and 4.

        They are [2B, C, h, w] each, first frames, then second ones.
        """
        joined = Embedded(
            torch.cat((first.x, second.x)),
            Tokens(
                torch.cat((first.tokens.u, second.tokens.u)),
                torch.cat((first.tokens.gate, second.tokens.gate)),
                torch.cat((first.tokens.projected, second.tokens.projected)),
            ),
        )
        f3 = self.block3(joined)
        return f3, self.block4(self.block4.open(self.patch_embed4(f3)))
