"""VQ-FIGAN, the auto-encoder of the latents: an encoder for single frames, and a decoder that turns a latent and both
neighbours into the frame between.

Pictures are RGB in [-1, 1], their sizes multiples of 256. Attribute names are the published keys.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vsvfi.models.ldmvfi.blocks import CrossAttention, Downsample, Middle, ResidualBlock, Upsample, activated, norm
from vsvfi.ops.sepconv import TAPS, sepconv

MULTIPLES = (1, 2, 2, 2, 4)
"""Channels of the levels, finest first, in those of the finest; each is half the size of the one before."""

HEAD = 64
"""Channels that a head begins with."""

CODES = 8192

HALO = 5
"""Rows and columns around a part of the result that it depends on: one of `conv_out`, four of a head."""

STRIP = 1 << 18
"""Pixels of the result that are made at a time: what the heads need for more would be the peak of all memory."""


class DownLevel(nn.Module):
    """A residual block, then half the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.ModuleList([ResidualBlock(inputs, outputs)])
        self.downsample = Downsample(outputs)

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.downsample(self.block[0](x))
        return halved


class Encoder(nn.Module):
    """A picture -> its latent at 1/32 of the size, and its features on the way there."""

    def __init__(self, features: int) -> None:
        super().__init__()
        widths = [features * multiple for multiple in MULTIPLES]
        self.conv_in = nn.Conv2d(3, features, 3, padding=1)
        self.down = nn.ModuleList(DownLevel(inputs, outputs) for inputs, outputs in zip((features, *widths), widths))
        self.mid = Middle(widths[-1])
        self.norm_out = norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """[B, 3, H, W] -> [B, 3, H/32, W/32], and the features after every halving, finest first."""
        x = self.conv_in(image)
        pyramid = []
        for level in self.down:
            x = level(x)
            pyramid.append(x)
        return self.conv_out(activated(self.norm_out(self.mid(x)))), tuple(pyramid)


class Codebook(nn.Module):
    """The vectors that a latent may consist of."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CODES, 3)

    def nearest(self, latent: Tensor) -> Tensor:
        """Numbers of the nearest vectors, [B, h, w]; in float32, since the picture depends on them by jumps."""
        vectors = self.embedding.weight.float()
        z = latent.float().permute(0, 2, 3, 1).flatten(0, 2)
        distance = z.square().sum(1, keepdim=True) + vectors.square().sum(1) - 2 * z @ vectors.T
        return distance.argmin(1).reshape(latent.shape[0], *latent.shape[2:])

    def forward(self, latent: Tensor) -> Tensor:
        """The latent with every vector replaced by the nearest one of the book."""
        found = self.embedding.weight[self.nearest(latent)].permute(0, 3, 1, 2).float()
        return latent + (found - latent)


class UpLevel(nn.Module):
    """A residual block, a look at both neighbours, then twice the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.ModuleList([ResidualBlock(inputs, outputs)])
        self.cross_attn = CrossAttention(outputs)
        self.upsample = Upsample(outputs)

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        doubled: Tensor = self.upsample(self.cross_attn(self.block[0](x), neighbours))
        return doubled


def _head(features: int, outputs: int) -> nn.Sequential:
    """Four convolutions of the decoder's last features."""
    widths = (features, HEAD, HEAD // 2, outputs, outputs)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the result, in pixels: rows top to bottom, columns 0 to right."""

    top: int
    bottom: int
    right: int


class Decoder(nn.Module):
    """A quantised latent and the features of both neighbours -> kernels for every pixel, and with them the frame
    between.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        widths = [features * multiple for multiple in MULTIPLES]
        self.conv_in = nn.Conv2d(3, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList(UpLevel(inputs, outputs) for inputs, outputs in zip((*widths[1:], widths[-1]), widths))
        self.norm_out = norm(features)
        self.conv_out = nn.Conv2d(features, features, 3, padding=1)
        self.moduleAlpha1, self.moduleAlpha2, self.moduleBeta1, self.moduleBeta2, self.moduleMask = (
            _head(features, TAPS * TAPS) for _ in range(5)
        )
        self.moduleKernelVertical1, self.moduleKernelVertical2 = _head(features, TAPS), _head(features, TAPS)
        self.moduleKernelHorizontal1, self.moduleKernelHorizontal2 = _head(features, TAPS), _head(features, TAPS)
        self.moduleResidual = _head(features, 3)

    def features(self, latent: Tensor, first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> Tensor:
        """[B, 3, H/32, W/32] and both pyramids -> [B, features, H, W], the part that sees the whole picture."""
        x = self.mid(self.conv_in(latent))
        for level, before, after in reversed(list(zip(self.up, first, second, strict=True))):
            x = level(x, torch.cat((before, after), 1))
        return activated(self.norm_out(x))

    def forward(
        self,
        latent: Tensor,
        frames: tuple[Tensor, Tensor],
        pyramids: tuple[tuple[Tensor, ...], tuple[Tensor, ...]],
        shown: tuple[int, int],
    ) -> Tensor:
        """The frame between.

        Args:
            latent: [B, 3, H/32, W/32], quantised and projected.
            frames: both neighbours, [B, 3, H, W] float32.
            pyramids: their features.
            shown: how much of the picture is wanted, (height, width) from its upper left corner; the rest of the last
            layers is not worked out.

        Returns:
            [B, 3, *shown] float32, not clamped.
        """
        features = self.features(latent, *pyramids)
        picture = frames[0].new_empty(features.shape[0], 3, *shown)
        for window in strips(*shown):
            picture[:, :, window.top : window.bottom] = self.resample(features, frames, window)
        return picture

    def resample(self, features: Tensor, frames: tuple[Tensor, Tensor], window: Window) -> Tensor:
        """A part of the frame between.

        Exact: convolutions see HALO pixels more than the part has, and zeros only beyond the picture itself.
        """
        top, bottom = max(window.top - HALO, 0), min(window.bottom + HALO, features.shape[2])
        seen = features[:, :, top:bottom, : min(window.right + HALO, features.shape[3])]
        rows, columns = slice(window.top - top, window.bottom - top), slice(0, window.right)
        h = self.conv_out(seen)

        def made(head: nn.Sequential) -> Tensor:
            result: Tensor = head(h)[:, :, rows, columns]
            return result

        def sampled(
            frame: Tensor,
            vertical: nn.Sequential,
            horizontal: nn.Sequential,
            alpha: nn.Sequential,
            beta: nn.Sequential,
            mask: Tensor,
        ) -> Tensor:
            return sepconv(
                frame, made(vertical), made(horizontal), made(alpha), made(beta), mask, origin=(window.top, 0)
            )

        mask = torch.sigmoid(made(self.moduleMask).float())
        first = sampled(
            frames[0],
            self.moduleKernelVertical1,
            self.moduleKernelHorizontal1,
            self.moduleAlpha1,
            self.moduleBeta1,
            mask,
        )
        second = sampled(
            frames[1],
            self.moduleKernelVertical2,
            self.moduleKernelHorizontal2,
            self.moduleAlpha2,
            self.moduleBeta2,
            1 - mask,
        )
        return first + second + made(self.moduleResidual)


def strips(height: int, width: int) -> Iterator[Window]:
    """The parts that a result of this size is made in: whole rows, about STRIP pixels each, as even as they come."""
    count = -(-height * width // STRIP)
    for number in range(count):
        yield Window(height * number // count, height * (number + 1) // count, width)


class AutoEncoder(nn.Module):
    """The published first stage: encoder, codebook, decoder, and the two projections beside the codebook.

    Args:
        features: channels at full size; every other width follows from it.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.encoder = Encoder(features)
        self.decoder = Decoder(features)
        self.quantize = Codebook()
        self.quant_conv = nn.Conv2d(3, 3, 1)
        self.post_quant_conv = nn.Conv2d(3, 3, 1)

    def encode(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """[B, 3, H, W] -> the latent as the diffusion sees it (not quantised), and the features of five levels."""
        latent, pyramid = self.encoder(image)
        return self.quant_conv(latent), pyramid

    def entering(self, latent: Tensor) -> Tensor:
        """A sampled latent as the decoder takes it."""
        quantised: Tensor = self.quantize(latent)
        projected: Tensor = self.post_quant_conv(quantised.to(self.post_quant_conv.weight.dtype))
        return projected
