"""From flows at a time to the frame: a quarter-size decoder, two updates by correlation, and the full-size decoder that
is nine tenths of the work.

GIMM-VFI, section 3.3; the parts are those of AMT (Li et al., CVPR 2023). Attribute names are the published keys. Flows
are float32 under any type of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.batch_norm import StoredBatchNorm
from vsvfi.models.gimmvfi.motion import SLOPE, conv
from vsvfi.models.gimmvfi.strips import Strip, strips
from vsvfi.ops.warp import backward_warp, resize_bilinear

SIDE = 64
"""Channels of a residual block that pass two convolutions of their own."""

BRANCHES = 3
"""Pictures that the full-size decoder makes and averages."""

_TRUNK_INPUTS = 128 + 2 * 64 + 4 + 1 + 12
"""Channels that the full-size trunk begins with: feature, warped features, flows, mask, pictures and warped pictures.
"""

_FOURFOLD = Fraction(4)


def activated(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """A convolution and a PReLU with a slope for each channel."""
    return nn.Sequential(conv(inputs, outputs, kernel), nn.PReLU(outputs))


class ResidualBlock(nn.Module):
    """Five convolutions beside the identity; the second and the fourth take the last 64 channels alone."""

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
    """The last channels replaced by what `side` makes of them; in place where no gradient needs the old ones."""
    if torch.is_grad_enabled():
        return torch.cat((y[:, :-SIDE], side(y[:, -SIDE:])), 1)
    y[:, -SIDE:] = side(y[:, -SIDE:])
    return y


def _upsampling(shuffles: int, inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Pixel shuffles by two and what refines their result."""
    layers = (activated(inputs, width, 5), *(activated(width, width) for _ in range(3)), activated(width, outputs))
    return nn.Sequential(
        *(nn.PixelShuffle(2) for _ in range(shuffles)),
        *layers,
        conv(outputs, outputs, 1),
        StoredBatchNorm(outputs),
        nn.ReLU(inplace=True),
    )


def _convblock(inputs: int, kernel: int, width: int, outputs: int) -> nn.Sequential:
    """The trunk of a decoder."""
    return nn.Sequential(
        activated(inputs, width, kernel), *(ResidualBlock(width) for _ in range(3)), conv(width, outputs)
    )


class InitialDecoder(nn.Module):
    """At a quarter of the size: corrects both flows, and begins mask and feature."""

    def __init__(self) -> None:
        super().__init__()
        self.upsample = _upsampling(1, 64, 64, 128)
        self.convblock = _convblock(2 * 128 + 4 + 12, 1, 128, 4 + 1 + 128)

    def forward(
        self, features: tuple[Tensor, Tensor], flows: tuple[Tensor, Tensor], pictures: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """From features [B or 1, 128, h, w] and pictures [B or 1, 3, h, w] of both frames and the flows to them [B, 2,
        h, w]: both flows [B, 4, h, w] float32, the mask's logit [B, 1, h, w] float32 and a feature [B, 128, h, w].
        """
        given = torch.cat(flows, 1)
        inputs = (*_warped(features, flows), given, *_both(pictures, given), *_warped(pictures, flows))
        made = self.convblock(_joined(inputs, features[0].dtype))
        return given + made[:, :4].float(), made[:, 4:5].float(), made[:, 5:]


class Update(nn.Module):
    """Corrects flows and feature by what correlation finds where the flows lead.

    The published name of `gru` means a gate that is not there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convc1, self.convc2 = conv(648, 256, 1), conv(256, 192)
        self.convf1, self.convf2 = conv(4, 128, 7), conv(128, 64)
        self.conv = conv(192 + 64, 188)
        self.gru = nn.Sequential(conv(188 + 4 + 128, 192), nn.LeakyReLU(SLOPE), conv(192, 192))
        self.feat_head = nn.Sequential(conv(192, 192), nn.LeakyReLU(SLOPE), conv(192, 128))
        self.flow_head = nn.Sequential(conv(192, 192), nn.LeakyReLU(SLOPE), conv(192, 4))

    def forward(self, feature: Tensor, flow: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """What to add to the feature [B, 128, h, w] and, float32, to the flow [B, 4, h, w].

        Args:
            feature: [B, 128, h, w].
            flow: [B, 4, h, w] float32.
            seen: `convc1` of the correlation, [B, 256, h, w]. Being 1x1 it may be applied before a resize.
        """
        moving = flow.to(feature.dtype)
        seen = _leaky(self.convc2(_leaky(seen)))
        moved = _leaky(self.convf2(_leaky(self.convf1(moving))))
        mixed = _leaky(self.conv(torch.cat((seen, moved), 1)))
        state = self.gru(torch.cat((mixed, moving, feature), 1))
        return self.feat_head(state), self.flow_head(state).float()


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE, inplace=not torch.is_grad_enabled())


@dataclass(frozen=True, slots=True)
class Branches:
    """What the full-size decoder says: for each of its pictures both flows, a mask and a residual. [B, 24, H, W]
    float32 in all.
    """

    forth: Tensor  # [B, 6, H, W]
    back: Tensor  # [B, 6, H, W]
    mask: Tensor  # [B, 3, H, W], after the sigmoid
    residual: Tensor  # [B, 9, H, W]


class FinalDecoder(nn.Module):
    """At full size.

    Its trunk runs in strips where the whole would not fit: 17 convolutions of 256 channels are all but everything that
    the network needs, in memory as in time.
    """

    REACH = 17  # rows, of the trunk
    UPSAMPLE_REACH = 6

    def __init__(self) -> None:
        super().__init__()
        self.upsample = _upsampling(2, 8, 32, 64)
        self.convblock = _convblock(_TRUNK_INPUTS, 3, 256, 8 * BRANCHES)

    def features(self, quarter: Tensor, budget: int) -> Tensor:
        """One frame's features at full size, [B, 64, H, W], from [B, 128, H/4, W/4]."""
        batch, _, height, width = quarter.shape
        row_bytes = batch * 4 * width * 3 * 64 * quarter.element_size()
        cut = strips(4 * height, halo=self.UPSAMPLE_REACH, row_bytes=row_bytes, budget=budget)
        return torch.cat([strip.crop(self.upsample(strip.halo(quarter, shrunk=4))) for strip in cut], 2)

    def forward(
        self,
        features: tuple[Tensor, Tensor],
        pictures: tuple[Tensor, Tensor],
        flow: Tensor,
        mask: Tensor,
        feature: Tensor,
        budget: int,
    ) -> Branches:
        """From both frames' features [B or 1, 64, H, W] and pictures [B or 1, 3, H, W] and, at a quarter of the size,
        flows [B, 4, h, w], mask logit [B, 1, h, w] and feature [B, 128, h, w].
        """
        given = torch.cat((4 * resize_bilinear(flow, _FOURFOLD), resize_bilinear(mask, _FOURFOLD)), 1)  # [B, 5, H, W]
        made = given.new_empty(given.shape[0], 8 * BRANCHES, *given.shape[2:])
        row_bytes = given.shape[0] * given.shape[3] * (_TRUNK_INPUTS + 3 * 256) * feature.element_size()
        for strip in strips(given.shape[2], halo=self.REACH, row_bytes=row_bytes, budget=budget):
            inputs = self._inputs(strip, features, pictures, given, feature)
            made[:, :, strip.begin : strip.end] = strip.crop(self.convblock(inputs))
        flows, logit = torch.split(given, [4, 1], 1)
        forth, back, masks, residual = torch.split(made, [2 * BRANCHES, 2 * BRANCHES, BRANCHES, 3 * BRANCHES], 1)
        return Branches(
            flows[:, :2].repeat(1, BRANCHES, 1, 1) + forth,
            flows[:, 2:].repeat(1, BRANCHES, 1, 1) + back,
            torch.sigmoid(logit + masks),
            residual,
        )

    def _inputs(
        self,
        strip: Strip,
        features: tuple[Tensor, Tensor],
        pictures: tuple[Tensor, Tensor],
        given: Tensor,
        feature: Tensor,
    ) -> Tensor:
        """The trunk's input for a strip and its halo, [B, 273, rows, W]."""
        own = strip.halo(given)
        flows = own[:, :2], own[:, 2:4]
        shown = strip.halo(pictures[0]), strip.halo(pictures[1])
        inputs = (
            _enlarged_rows(feature, strip),
            *_warped(features, flows, strip.lower),
            own,
            *_both(shown, own),
            *_warped(pictures, flows, strip.lower),
        )
        return _joined(inputs, feature.dtype)


def _enlarged_rows(feature: Tensor, strip: Strip) -> Tensor:
    """The strip and its halo of a feature enlarged fourfold, without the rest: a row at each side is enlarged too, and
    dropped.
    """
    lower, upper = strip.lower // 4, strip.upper // 4
    first, last = max(0, lower - 1), min(feature.shape[2], upper + 1)
    enlarged = resize_bilinear(feature[:, :, first:last], _FOURFOLD)
    return enlarged[:, :, 4 * (lower - first) : 4 * (upper - first)]


def merge(branches: Branches, pictures: tuple[Tensor, Tensor], refine: nn.Module) -> Tensor:
    """The mean of the branches' pictures and what `refine` makes of them all, [B, 3, H, W] float32 in [0, 1].

    Args:
        branches: at the size of the network.
        pictures: both frames, [B or 1, 3, H', W'] in [-1, 1], of that size or larger.
        refine: from [B, 9, H', W'] to [B, 3, H', W'].
    """
    factor = Fraction(pictures[0].shape[2], branches.mask.shape[2])
    made = []
    for index in range(BRANCHES):
        flows = [
            resize_bilinear(flow[:, 2 * index : 2 * index + 2], factor) * float(factor)
            for flow in (branches.forth, branches.back)
        ]
        mask = resize_bilinear(branches.mask[:, index : index + 1], factor)
        first, second = (backward_warp(picture, flow) for picture, flow in zip(pictures, flows, strict=True))
        made.append(
            torch.lerp(second, first, mask) + resize_bilinear(branches.residual[:, 3 * index : 3 * index + 3], factor)
        )
    together = torch.cat(made, 1)
    refined: Tensor = refine(together.to(next(refine.parameters()).dtype)).float()
    mean = (made[0] + made[1] + made[2]) / BRANCHES
    return ((mean + refined + 1) / 2).clamp(0, 1)


def combination() -> nn.Sequential:
    """What sees the pictures of all branches together."""
    return nn.Sequential(conv(3 * BRANCHES, 6 * BRANCHES, 7), nn.PReLU(6 * BRANCHES), conv(6 * BRANCHES, 3, 7))


def _warped(sources: tuple[Tensor, Tensor], flows: tuple[Tensor, Tensor], top: int = 0) -> tuple[Tensor, Tensor]:
    """What both flows lead to; flows begin at row `top`."""
    return backward_warp(sources[0], flows[0], top), backward_warp(sources[1], flows[1], top)


def _both(pictures: tuple[Tensor, Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    """Both pictures for a whole batch."""
    return pictures[0].expand(like.shape[0], -1, -1, -1), pictures[1].expand(like.shape[0], -1, -1, -1)


def _joined(parts: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
    """Channels side by side, in one type."""
    return torch.cat([part.to(dtype) for part in parts], 1).contiguous(memory_format=torch.channels_last)
