"""IFRNet, "Intermediate Feature Refine Network for Efficient Frame Interpolation" (CVPR 2022, arXiv 2205.14620).

One coarse-to-fine encoder and decoder: at each of four levels a decoder refines two intermediate flows (t to 0, t to 1)
together with an intermediate feature (paper section 3); the last one also yields a blending mask and an RGB residual.
Attribute names are the published keys. The mean of BOTH frames is subtracted from each, so the encoder runs per pair;
only the resized image and its mean are computed per frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.activated import Activated
from vsvfi.models.blocks.constants import Constants
from vsvfi.models.blocks.moved import warped
from vsvfi.models.blocks.prelu import PReLU
from vsvfi.models.blocks.tiles import Part, Window, in_windows, windows
from vsvfi.models.interpolator import Interpolator, broadcast_times
from vsvfi.ops import activation
from vsvfi.ops.warp import backward_warp, resize_bilinear, warm_up

_LEVELS = (1, 2, 3, 4)

ENCODER = Part("encode_window", 3 + (2 + 4 + 8) + (2 + 4 + 8 + 16), 16)
"""At each level a convolution of stride 2, the very first up to 7x7, and one more. In pixels of the reduced image."""

DECODER = Part("refine_window", 1 + 5 + 1 + 2, 8)
"""Decoder 1: its convolution, a residual block, the transposed one, and the resizes. In pixels of level 1."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Per-image values."""

    image: Tensor  # [B, 3, H, W], padded
    reduced: Tensor  # [B, 3, sH, sW]; the same tensor at scale 1
    mean: Tensor  # [B, 1, 1, 1] float32, over channels and pixels of the padded image


@dataclass(frozen=True, slots=True)
class Pair:
    """Per-pair values that do not depend on t. Level l has c_l channels at 1/2^l of the reduced size."""

    first: Tensor  # [B, 3, H, W], mean-free
    second: Tensor  # [B, 3, H, W], mean-free
    mean: Tensor  # [B, 1, 1, 1] float32
    first_features: tuple[Tensor, Tensor, Tensor]  # levels 1, 2, 3
    second_features: tuple[Tensor, Tensor, Tensor]
    coarse: Tensor  # [B, d4, h/16, w/16]: decoder 4's first convolution without its time plane


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and PReLU with one slope per channel."""
    return Activated(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), PReLU(outputs))


class Encoder(nn.Module):
    """Four levels of features, each at half the size of the one before (section 3.1)."""

    def __init__(self, widths: Sequence[int], first_kernel: int) -> None:
        super().__init__()
        inputs = (3, *widths)
        for level in _LEVELS:
            kernel = first_kernel if level == 1 else 3
            stage = nn.Sequential(
                _conv(inputs[level - 1], widths[level - 1], kernel, 2), _conv(widths[level - 1], widths[level - 1])
            )
            self.add_module(f"pyramid{level}", stage)

    def forward(self, image: Tensor) -> list[Tensor]:
        features = []
        for level in _LEVELS:
            image = self.get_submodule(f"pyramid{level}")(image)
            features.append(image)
        return features


class ResidualBlock(nn.Module):
    """A residual block with extra convolutions of its last `side` channels (section 3.2)."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.conv1 = _conv(channels, channels)
        self.conv2 = _conv(side, side)
        self.conv3 = _conv(channels, channels)
        self.conv4 = _conv(side, side)
        self.conv5 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.prelu = PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        features = self._refine_side(self.conv1(x), self.conv2)
        features = self._refine_side(self.conv3(features), self.conv4)
        refined: Tensor = self.prelu(x + self.conv5(features))
        return refined

    def _refine_side(self, x: Tensor, convolution: nn.Module) -> Tensor:
        """Replace the last `side` channels of x [B, C, h, w] by their convolution."""
        if torch.is_grad_enabled():
            return torch.cat((x[:, : -self.side], convolution(x[:, -self.side :])), 1)
        x[:, -self.side :] = convolution(x[:, -self.side :])  # saves a copy of all the other channels
        return x


class Decoder(nn.Module):
    """One refinement step: convolution, residual block, and a transposed convolution to twice the size."""

    def __init__(self, inputs: int, channels: int, outputs: int, side: int) -> None:
        super().__init__()
        self.convblock = nn.Sequential(
            _conv(inputs, channels), ResidualBlock(channels, side), nn.ConvTranspose2d(channels, outputs, 4, 2, 1)
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        refined: Tensor = self.convblock(torch.cat(inputs, 1))
        return refined


class IFRNet(Interpolator[Frame, Pair]):
    """IFRNet as an `Interpolator`.

    Args:
        widths: channels of encoder levels 1 to 4.
        side: side channels of every residual block.
        first_kernel: size of the very first kernel.
        scale: resolution of the flow estimation; sizes must be multiples of `SizeRule.divisors(scale)`.
        tile: largest edge in pixels of what is encoded and decoded at once; None for the whole picture.
    """

    parts = (ENCODER, DECODER)

    def __init__(
        self,
        widths: tuple[int, int, int, int],
        side: int,
        first_kernel: int = 3,
        *,
        scale: Fraction = Fraction(1),
        tile: int | None = None,
    ) -> None:
        super().__init__()
        self.tile = tile
        if tile:
            self.pieces = ("encode_window", "decode_coarse", "refine_window")
        c1, c2, c3, c4 = widths
        self.scale = scale
        self._constants = Constants(self)
        self.encoder = Encoder(widths, first_kernel)
        self.decoder4 = Decoder(2 * c4 + 1, 2 * c4, 4 + c3, side)
        self.decoder3 = Decoder(3 * c3 + 4, 3 * c3, 4 + c2, side)
        self.decoder2 = Decoder(3 * c2 + 4, 3 * c2, 4 + c1, side)
        self.decoder1 = Decoder(3 * c1 + 4, 3 * c1, 4 + 1 + 3, side)

    def prepare_operators(self) -> None:
        weight = next(self.parameters())
        warm_up(weight.device, [weight.dtype])
        activation.warm_up(weight.device, weight.dtype)

    def encode_frame(self, image: Tensor) -> Frame:
        return Frame(
            image, resize_bilinear(image, self.scale), image.mean((1, 2, 3), keepdim=True, dtype=torch.float32)
        )

    def prepare_pair(self, first: Frame, second: Frame) -> Pair:
        mean = (first.mean + second.mean) / 2
        batch = first.image.shape[0]
        convolution, _ = self._decoder4_input()
        weight = convolution.weight
        cut = windows(first.reduced.shape[2:], ENCODER, self.tile)
        level1, level2, level3, level4 = in_windows(
            cut, lambda window: self.encode_window(window.of(first.reduced), window.of(second.reduced), mean)
        )
        coarse = functional.conv2d(
            torch.cat((level4[:batch], level4[batch:]), 1), weight[:, :-1], convolution.bias, padding=1
        )
        return Pair(
            first.image - mean,
            second.image - mean,
            mean,
            (level1[:batch], level2[:batch], level3[:batch]),
            (level1[batch:], level2[batch:], level3[batch:]),
            coarse,
        )

    def encode_window(self, first: Tensor, second: Tensor, mean: Tensor) -> list[Tensor]:
        """Return the features of both frames, or of a window of both, at every level: [2B, c, h, w] each."""
        both = torch.cat((first - mean, second - mean)).to(self._decoder4_input()[0].weight.dtype)
        features: list[Tensor] = self.encoder(both)
        return features

    def synthesise(self, pair: Pair, t: Tensor, **inputs: Tensor) -> Tensor:
        _, flow, hidden = self.decode_coarse(pair, t)

        def compute(window: Window) -> tuple[Tensor]:
            finest, mask, residual = self._finest(pair, flow, hidden, window)
            first = warped(pair.first, finest[:, :2], window)
            second = warped(pair.second, finest[:, 2:], window)
            blend = second + mask * (first - second)
            return ((blend + pair.mean + residual).clamp(0, 1),)

        return in_windows(self._cut(flow), compute)[0]

    def flows(self, pair: Pair, t: Tensor) -> dict[str, Tensor]:
        _, flow, hidden = self.decode_coarse(pair, t)
        finest, *_ = in_windows(self._cut(flow), lambda window: self._finest(pair, flow, hidden, window))
        return {"t-0": finest[:, :2], "t-1": finest[:, 2:]}

    def estimate(self, pair: Pair, t: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Estimate flow, mask and residual at every level, coarse to fine (section 3.3).

        Mask and residual are empty but for the last level.

        Args:
            pair: of batch B or 1.
            t: [B].

        Returns:
            Four entries (flow, mask, residual), the last at full size: flow [B, 4, h, w] (to the first frame x, y, to
            the second x, y), mask [B, 1, H, W] in (0, 1), residual [B, 3, H, W].
        """
        flows, upsampled, hidden = self.decode_coarse(pair, t)
        nothing = hidden[:, :0]
        (window,) = windows(upsampled.shape[2:], DECODER, None)
        return [*((flow, nothing, nothing) for flow in flows), self._finest(pair, upsampled, hidden, window)]

    def decode_coarse(self, pair: Pair, t: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Run decoders 4 to 2.

        Returns:
            Their flows, coarse to fine, and flow [B, 4, h, w] and hidden feature [B, c1, h, w] that enter decoder 1.
        """
        times = broadcast_times(t, pair.coarse.shape[0], pair.coarse)
        batch = max(times.numel(), pair.coarse.shape[0])
        _, activation = self._decoder4_input()
        block, upsample = self.decoder4.convblock.get_submodule("1"), self.decoder4.convblock.get_submodule("2")
        response = self._time_response(pair.coarse)
        entered = activation(pair.coarse + times.to(response.dtype).reshape(-1, 1, 1, 1) * response)
        output = upsample(block(entered))
        flow, hidden = output[:, :4].float(), output[:, 4:]
        flows = [flow]
        for level, decoder in ((3, self.decoder3), (2, self.decoder2)):
            first, second = pair.first_features[level - 1], pair.second_features[level - 1]
            first, second = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])
            output = decoder(hidden.expand(batch, -1, -1, -1), first, second, flow.to(hidden.dtype))
            flow = output[:, :4].float() + 2 * resize_bilinear(flow, Fraction(2))
            hidden = output[:, 4:]
            flows.append(flow)
        return flows, flow, hidden.expand(batch, -1, -1, -1)

    def refine_window(
        self, hidden: Tensor, first: Tensor, second: Tensor, flow: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run decoder 1 on warped features, or on a window of them: flow, mask and residual at full size."""
        output = self.decoder1(hidden, first, second, flow.to(hidden.dtype))
        flow = output[:, :4].float() + 2 * resize_bilinear(flow, Fraction(2))
        enlarge, hidden = 1 / self.scale, output[:, 4:].float()
        mask = resize_bilinear(torch.sigmoid(hidden[:, :1]), enlarge)
        return resize_bilinear(flow, enlarge) * float(enlarge), mask, resize_bilinear(hidden[:, 1:], enlarge)

    def _finest(self, pair: Pair, flow: Tensor, hidden: Tensor, window: Window) -> tuple[Tensor, Tensor, Tensor]:
        """Run decoder 1 in a window of level 1."""
        flow = window.of(flow)
        first = warped(pair.first_features[0], flow[:, :2], window)
        second = warped(pair.second_features[0], flow[:, 2:], window)
        return self.refine_window(window.of(hidden), first, second, flow)

    def _cut(self, flow: Tensor) -> list[Window]:
        """The windows of level 1, whose bounds are whole pixels of the picture too."""
        part = replace(DECODER, multiple=DECODER.multiple * self.scale.numerator)
        tile = self.tile and max(1, int(self.tile * self.scale / 2))  # in pixels of the picture, as others
        return windows(flow.shape[2:], part, tile)

    def _time_response(self, coarse: Tensor) -> Tensor:
        """Return the response of decoder 4's first convolution to a time plane of ones, [1, d4, h/16, w/16]."""

        def compute() -> Tensor:
            convolution, _ = self._decoder4_input()
            ones = coarse.new_ones(1, 1, *coarse.shape[2:])
            return functional.conv2d(ones, convolution.weight[:, -1:], padding=1)

        return self._constants.get(("time_response", coarse.shape[2:], coarse.device, coarse.dtype), compute)

    def _decoder4_input(self) -> tuple[nn.Conv2d, nn.PReLU]:
        """Return decoder 4's first convolution, whose last input channel is the time plane, and its activation."""
        convolution, activation = (
            self.decoder4.convblock.get_submodule("0.0"),
            self.decoder4.convblock.get_submodule("0.1"),
        )
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(activation, nn.PReLU)
        return convolution, activation
