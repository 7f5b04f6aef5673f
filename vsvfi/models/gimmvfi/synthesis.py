"""GIMM-VFI's frame synthesis from the flows at t (section 3.3).

A quarter-size decoder, two updates by correlation, and a full-size decoder that takes most of the time. The parts are
those of AMT (Li et al., CVPR 2023). Attribute names are the published keys. Flows are float32 whatever the type of the
weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.activated import Activated, leaky_convolution
from vsvfi.models.blocks.batch_norm import StoredBatchNorm
from vsvfi.models.blocks.constants import Constants
from vsvfi.models.blocks.moved import warped
from vsvfi.models.blocks.tiles import Window
from vsvfi.models.gimmvfi.motion import SLOPE, conv
from vsvfi.models.gimmvfi.strips import Strip, stacked, strips
from vsvfi.ops.warp import backward_warp, resize_bilinear

SIDE = 64
"""Channels of a residual block that have two convolutions of their own."""

BRANCHES = 3
"""Candidate frames that the full-size decoder predicts and averages."""

_TRUNK_INPUTS = 128 + 2 * 64 + 4 + 1 + 12
"""Input channels of the full-size trunk: feature, warped features, flows, mask, images and warped images."""

_FOURFOLD = Fraction(4)


def activated(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Return a convolution followed by a per-channel PReLU."""
    return Activated(conv(inputs, outputs, kernel), nn.PReLU(outputs))


class ResidualBlock(nn.Module):
    """Five convolutions with a skip connection; the second and the fourth act on the last 64 channels only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = activated(channels, channels), activated(SIDE, SIDE)
        self.conv3, self.conv4 = activated(channels, channels), activated(SIDE, SIDE)
        self.conv5 = conv(channels, channels)
        self.prelu = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = _with_side(self.conv1(x), self.conv2)
        y = _with_side(self.conv3(y), self.conv4)
        result: Tensor = self.prelu(x + self.conv5(y))
        return result


def _with_side(y: Tensor, side: nn.Module) -> Tensor:
    """Replace the last channels by `side` of them, in place unless gradients need the old values."""
    if torch.is_grad_enabled():
        return torch.cat((y[:, :-SIDE], side(y[:, -SIDE:])), 1)
    y[:, -SIDE:] = side(y[:, -SIDE:])
    return y


def _upsampling(shuffles: int, inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Return pixel shuffles by two and the convolutions that refine their result."""
    layers = (activated(inputs, width, 5), *(activated(width, width) for _ in range(3)), activated(width, outputs))
    return nn.Sequential(
        *(nn.PixelShuffle(2) for _ in range(shuffles)),
        *layers,
        conv(outputs, outputs, 1),
        StoredBatchNorm(outputs),
        nn.ReLU(inplace=True),
    )


def _convblock(inputs: int, kernel: int, width: int, outputs: int) -> nn.Sequential:
    """Return the trunk of a decoder."""
    return nn.Sequential(
        activated(inputs, width, kernel), *(ResidualBlock(width) for _ in range(3)), conv(width, outputs)
    )


class InitialDecoder(nn.Module):
    """The quarter-size decoder: corrects both flows, and predicts the first mask and feature."""

    def __init__(self) -> None:
        super().__init__()
        self.upsample = _upsampling(1, 64, 64, 128)
        self.convblock = _convblock(2 * 128 + 4 + 12, 1, 128, 4 + 1 + 128)

    def forward(
        self, features: tuple[Tensor, Tensor], flows: tuple[Tensor, Tensor], images: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return flows [B, 4, h, w] float32, mask logit [B, 1, h, w] float32 and feature [B, 128, h, w].

        Takes features [B or 1, 128, h, w] and images [B or 1, 3, h, w] of both frames, and flows [B, 2, h, w] to them.
        """
        given = torch.cat(flows, 1)
        inputs = (*_warped(features, flows), given, *_both(images, given), *_warped(images, flows))
        made = self.convblock(_joined(inputs, features[0].dtype))
        return given + made[:, :4].float(), made[:, 4:5].float(), made[:, 5:]


class Update(nn.Module):
    """Update flows and feature from the correlation at the flows' targets.

    Despite its published name, `gru` has no gates.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convc1, self.convc2 = conv(648, 256, 1), conv(256, 192)
        self.convf1, self.convf2 = conv(4, 128, 7), conv(128, 64)
        self.conv = conv(192 + 64, 188)
        self._constants = Constants(self)
        self.gru = Activated(conv(188 + 4 + 128, 192), nn.LeakyReLU(SLOPE), conv(192, 192))
        self.feat_head = Activated(conv(192, 192), nn.LeakyReLU(SLOPE), conv(192, 128))
        self.flow_head = Activated(conv(192, 192), nn.LeakyReLU(SLOPE), conv(192, 4))

    def forward(self, feature: Tensor, flow: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the residuals of the feature [B, 128, h, w] and, in float32, of the flow [B, 4, h, w].

        Args:
            feature: [B, 128, h, w].
            flow: [B, 4, h, w] float32.
            seen: `convc1` of the correlation, [B, 256, h, w]; a 1x1 convolution, it may run before a resize.
        """
        moving = flow.to(feature.dtype)
        seen = functional.leaky_relu(seen, SLOPE, inplace=not torch.is_grad_enabled())
        seen = self._leaky(self.convc2, seen)
        moved = self._leaky(self.convf2, self._leaky(self.convf1, moving))
        mixed = self._leaky(self.conv, torch.cat((seen, moved), 1))
        state = self.gru(torch.cat((mixed, moving, feature), 1))
        return self.feat_head(state), self.flow_head(state).float()

    def _leaky(self, convolution: nn.Conv2d, x: Tensor) -> Tensor:
        padding = convolution.kernel_size[0] // 2
        return leaky_convolution(x, convolution.weight, convolution.bias, SLOPE, self._constants, padding=padding)


@dataclass(frozen=True, slots=True)
class Branches:
    """Outputs of the full-size decoder: both flows, a mask and a residual for each candidate frame.

    All are float32, 24 channels together.
    """

    forth: Tensor  # [B, 6, H, W]
    back: Tensor  # [B, 6, H, W]
    mask: Tensor  # [B, 3, H, W], after the sigmoid
    residual: Tensor  # [B, 9, H, W]


class FinalDecoder(nn.Module):
    """The full-size decoder.

    Its trunk runs in strips if the budget requires it: 17 convolutions of 256 channels dominate the network's memory
    and time.
    """

    REACH = 17  # receptive field of the trunk in rows, above and below
    UPSAMPLE_REACH = 6

    def __init__(self) -> None:
        super().__init__()
        self.upsample = _upsampling(2, 8, 32, 64)
        self.convblock = _convblock(_TRUNK_INPUTS, 3, 256, 8 * BRANCHES)

    def features(self, quarter: Tensor, budget: int) -> Tensor:
        """Upsample one frame's features [B, 128, H/4, W/4] to [B, 64, H, W]."""
        batch, _, height, width = quarter.shape
        row_bytes = batch * 4 * width * 3 * 64 * quarter.element_size()
        cut = strips(4 * height, halo=self.UPSAMPLE_REACH, row_bytes=row_bytes, budget=budget)
        return stacked(cut, lambda strip: self.upsample(strip.halo(quarter, shrunk=4)))

    def forward(
        self,
        features: tuple[Tensor, Tensor],
        images: tuple[Tensor, Tensor],
        flow: Tensor,
        mask: Tensor,
        feature: Tensor,
        budget: int,
    ) -> Branches:
        """Predict all branches at full size.

        Takes features [B or 1, 64, H, W] and images [B or 1, 3, H, W] of both frames and, at a quarter of the size,
        flows [B, 4, h, w], mask logit [B, 1, h, w] and feature [B, 128, h, w].
        """
        given = enlarged(flow, mask)
        made = given.new_empty(given.shape[0], 8 * BRANCHES, *given.shape[2:])
        row_bytes = given.shape[0] * given.shape[3] * (_TRUNK_INPUTS + 3 * 256) * feature.element_size()
        for strip in strips(given.shape[2], halo=self.REACH, row_bytes=row_bytes, budget=budget):
            inputs = self._inputs(strip, features, images, given, feature)
            made[:, :, strip.begin : strip.end] = strip.crop(self.convblock(inputs))
        return branches(given, made)

    def _inputs(
        self,
        strip: Strip,
        features: tuple[Tensor, Tensor],
        images: tuple[Tensor, Tensor],
        given: Tensor,
        feature: Tensor,
    ) -> Tensor:
        """Return the trunk's input for a strip and its halo, [B, 273, rows, W]."""
        own = strip.halo(given)
        flows = own[:, :2], own[:, 2:4]
        shown = strip.halo(images[0]), strip.halo(images[1])
        inputs = (
            _enlarged_rows(feature, strip),
            *_warped(features, flows, strip.lower),
            own,
            *_both(shown, own),
            *_warped(images, flows, strip.lower),
        )
        return _joined(inputs, feature.dtype)


def window_inputs(
    window: Window,
    features: tuple[Tensor, Tensor],
    images: tuple[Tensor, Tensor],
    given: Tensor,
    feature: Tensor,
) -> Tensor:
    """Return the trunk's input for a window, [B, 273, h, w], from what `FinalDecoder` takes and `enlarged`."""
    own = window.of(given)
    flows = own[:, :2], own[:, 2:4]
    inputs = (
        resize_bilinear(window.of(feature), _FOURFOLD),
        *(warped(source, flow, window) for source, flow in zip(features, flows, strict=True)),
        own,
        *_both((window.of(images[0]), window.of(images[1])), own),
        *(warped(source, flow, window) for source, flow in zip(images, flows, strict=True)),
    )
    return _joined(inputs, feature.dtype)


def enlarged(flow: Tensor, mask: Tensor) -> Tensor:
    """Enlarge flows and mask logit fourfold: [B, 5, H, W]."""
    return torch.cat((4 * resize_bilinear(flow, _FOURFOLD), resize_bilinear(mask, _FOURFOLD)), 1)


def branches(given: Tensor, made: Tensor) -> Branches:
    """Return the branches from `enlarged` and the trunk's output [B, 24, H, W]."""
    flows, logit = torch.split(given, [4, 1], 1)
    forth, back, masks, residual = torch.split(made, [2 * BRANCHES, 2 * BRANCHES, BRANCHES, 3 * BRANCHES], 1)
    return Branches(
        flows[:, :2].repeat(1, BRANCHES, 1, 1) + forth,
        flows[:, 2:].repeat(1, BRANCHES, 1, 1) + back,
        torch.sigmoid(logit + masks),
        residual,
    )


def _enlarged_rows(feature: Tensor, strip: Strip) -> Tensor:
    """Upsample a feature fourfold, only the rows of a strip and its halo.

    One more row at each side is enlarged and then dropped.
    """
    lower, upper = strip.lower // 4, strip.upper // 4
    first, last = max(0, lower - 1), min(feature.shape[2], upper + 1)
    enlarged = resize_bilinear(feature[:, :, first:last], _FOURFOLD)
    return enlarged[:, :, 4 * (lower - first) : 4 * (upper - first)]


def merge(found: Branches, images: tuple[Tensor, Tensor], refine: nn.Module) -> Tensor:
    """Average the branches' frames and add `refine` of them all: [B, 3, H, W] float32 in [0, 1].

    Args:
        found: at the size of the network.
        images: both frames, [B or 1, 3, H', W'] in [-1, 1], of that size or larger.
        refine: from [B, 9, H', W'] to [B, 3, H', W'].
    """
    factor = Fraction(images[0].shape[2], found.mask.shape[2])
    made = candidates(found, factor, lambda index, flow: backward_warp(images[index], flow))
    return average(made, refine)


def candidates(found: Branches, factor: Fraction, sampled: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Return the frames of all branches, [B, 9, H, W] float32 in about [-1, 1].

    Args:
        found: at 1 / factor of the size, whole or a window.
        factor: 1 or more.
        sampled: frame 0 or 1, in [-1, 1], warped by a flow [B, 2, H, W] to it.
    """
    made = []
    for index in range(BRANCHES):
        flows = [
            resize_bilinear(flow[:, 2 * index : 2 * index + 2], factor) * float(factor)
            for flow in (found.forth, found.back)
        ]
        mask = resize_bilinear(found.mask[:, index : index + 1], factor)
        first, second = (sampled(index, flow) for index, flow in enumerate(flows))
        made.append(
            torch.lerp(second, first, mask) + resize_bilinear(found.residual[:, 3 * index : 3 * index + 3], factor)
        )
    return torch.cat(made, 1)


def average(made: Tensor, refine: nn.Module) -> Tensor:
    """Average candidate frames [B, 9, H, W] and add `refine` of them all: [B, 3, H, W] float32 in [0, 1]."""
    refined: Tensor = refine(made.to(next(refine.parameters()).dtype)).float()
    first, second, third = made.chunk(BRANCHES, 1)
    mean = (first + second + third) / BRANCHES
    return ((mean + refined + 1) / 2).clamp(0, 1)


def combination() -> nn.Sequential:
    """Return the network that refines the frames of all branches jointly."""
    return Activated(conv(3 * BRANCHES, 6 * BRANCHES, 7), nn.PReLU(6 * BRANCHES), conv(6 * BRANCHES, 3, 7))


def _warped(sources: tuple[Tensor, Tensor], flows: tuple[Tensor, Tensor], top: int = 0) -> tuple[Tensor, Tensor]:
    """Warp both sources by their flows, which start at row `top`."""
    return backward_warp(sources[0], flows[0], top), backward_warp(sources[1], flows[1], top)


def _both(images: tuple[Tensor, Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    """Expand both images to a whole batch."""
    return images[0].expand(like.shape[0], -1, -1, -1), images[1].expand(like.shape[0], -1, -1, -1)


def _joined(parts: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
    """Concatenate channels in one type."""
    return torch.cat([part.to(dtype) for part in parts], 1).contiguous(memory_format=torch.channels_last)
