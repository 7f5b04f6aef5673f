"""VQ-FIGAN, LDMVFI's vector-quantised autoencoder.

The encoder works on single frames; the decoder reconstructs the middle frame from its latent and both neighbours.
Images are RGB in [-1, 1], their sizes multiples of 256. Attribute names are the published keys.
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
"""Channels of the levels relative to the finest, finest first; each level is half the size of the last."""

HEAD = 64
"""Channels of a head's first convolution."""

CODES = 8192

HALO = 5
"""Receptive field in pixels around a strip: one of `conv_out`, four of a head."""

STRIP = 1 << 18
"""Output pixels per strip; with larger strips the heads would dominate peak memory."""


class DownLevel(nn.Module):
    """A residual block, then downsampling by two."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.ModuleList([ResidualBlock(inputs, outputs)])
        self.downsample = Downsample(outputs)

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.downsample(self.block[0](x))
        return halved


class Encoder(nn.Module):
    """Encode an image as a latent at 1/32 of its size, and a pyramid of features."""

    def __init__(self, features: int) -> None:
        super().__init__()
        widths = [features * multiple for multiple in MULTIPLES]
        self.conv_in = nn.Conv2d(3, features, 3, padding=1)
        self.down = nn.ModuleList(DownLevel(inputs, outputs) for inputs, outputs in zip((features, *widths), widths))
        self.mid = Middle(widths[-1])
        self.norm_out = norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map [B, 3, H, W] to [B, 3, H/32, W/32] and the features after every downsampling, finest first."""
        x = self.conv_in(image)
        pyramid = []
        for level in self.down:
            x = level(x)
            pyramid.append(x)
        return self.conv_out(activated(self.norm_out(self.mid(x)))), tuple(pyramid)


class Codebook(nn.Module):
    """The vectors of the quantised latents."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CODES, 3)

    def nearest(self, latent: Tensor) -> Tensor:
        """Return the indices of the nearest vectors, [B, h, w].

        In float32, since a rounding error can select another vector.
        """
        vectors = self.embedding.weight.float()
        z = latent.float().permute(0, 2, 3, 1).flatten(0, 2)
        distance = z.square().sum(1, keepdim=True) + vectors.square().sum(1) - 2 * z @ vectors.T
        return distance.argmin(1).reshape(latent.shape[0], *latent.shape[2:])

    def forward(self, latent: Tensor) -> Tensor:
        """Replace every vector of the latent by the nearest one of the codebook."""
        found = self.embedding.weight[self.nearest(latent)].permute(0, 3, 1, 2).float()
        return latent + (found - latent)


class UpLevel(nn.Module):
    """A residual block, cross-attention to both neighbours, then upsampling by two."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.ModuleList([ResidualBlock(inputs, outputs)])
        self.cross_attn = CrossAttention(outputs)
        self.upsample = Upsample(outputs)

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        doubled: Tensor = self.upsample(self.cross_attn(self.block[0](x), neighbours))
        return doubled


def _head(features: int, outputs: int) -> nn.Sequential:
    """Return four convolutions on the decoder's last features."""
    widths = (features, HEAD, HEAD // 2, outputs, outputs)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the output, in pixels: rows top to bottom, columns 0 to right."""

    top: int
    bottom: int
    right: int


class Decoder(nn.Module):
    """Reconstruct the middle frame from its quantised latent and the features of both neighbours.

    It predicts kernels for every pixel, which resample the neighbours.
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
        """Map [B, 3, H/32, W/32] and both pyramids to [B, features, H, W], always on the whole image."""
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
        """Reconstruct the middle frame.

        Args:
            latent: [B, 3, H/32, W/32], quantised and projected.
            frames: both neighbours, [B, 3, H, W] float32.
            pyramids: their features.
            shown: (height, width) to compute, from the upper left corner; the last layers skip the rest.

        Returns:
            [B, 3, *shown] float32, not clamped.
        """
        features = self.features(latent, *pyramids)
        image = frames[0].new_empty(features.shape[0], 3, *shown)
        for window in strips(*shown):
            image[:, :, window.top : window.bottom] = self.resample(features, frames, window)
        return image

    def resample(self, features: Tensor, frames: tuple[Tensor, Tensor], window: Window) -> Tensor:
        """Compute one strip of the middle frame.

        The result is exact: convolutions read HALO pixels around the strip, and zeros only outside the image.
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
    """Yield the strips of an output of this size: whole rows, about STRIP pixels each, of nearly equal height."""
    count = -(-height * width // STRIP)
    for number in range(count):
        yield Window(height * number // count, height * (number + 1) // count, width)


class AutoEncoder(nn.Module):
    """The published first stage: encoder, codebook, decoder, and the projections before and after the codebook.

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
        """Map [B, 3, H, W] to the latent that the diffusion uses (not quantised), and the features of five levels."""
        latent, pyramid = self.encoder(image)
        return self.quant_conv(latent), pyramid

    def entering(self, latent: Tensor) -> Tensor:
        """Quantise and project a sampled latent for the decoder."""
        quantised: Tensor = self.quantize(latent)
        projected: Tensor = self.post_quant_conv(quantised.to(self.post_quant_conv.weight.dtype))
        return projected
