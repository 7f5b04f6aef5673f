"""The three networks that UPR-Net applies at every level: feature pyramid, motion estimator, synthesis.

Attribute names are the published keys.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.activated import Activated
from vsvfi.models.blocks.prelu import PReLU
from vsvfi.ops.correlation import local_correlation
from vsvfi.ops.splat import splat

SLOPE = 0.1
RADIUS = 4


class FeaturePyramid(nn.Module):
    """Three stages of features, each at half the size of the one before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inputs = (3, width, 2 * width)
        for stage, entering in enumerate(inputs):
            layers: list[nn.Module] = []
            channels = width << stage
            for layer in range(4):
                layers += [
                    _conv(channels if layer else entering, channels, stride=2 if stage and not layer else 1),
                    nn.LeakyReLU(SLOPE, inplace=True),
                ]
            self.add_module(f"conv_stage{stage}", Activated(*layers))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map [B, 3, h, w] to width, 2 width and 4 width channels at full, half and quarter size.

        The features have the type of the weights.
        """
        stages = [self.get_submodule(f"conv_stage{stage}") for stage in range(3)]
        full = stages[0](image.to(next(self.parameters()).dtype))
        half = stages[1](full)
        return full, half, stages[2](half)


class MotionEstimator(nn.Module):
    """Estimate both flows from quarter-size features that the current flow warps to the middle (section 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        features = 4 * width
        volume = (2 * RADIUS + 1) ** 2
        widths = (volume + 3 * features + 4, 10 * width, 8 * width, 7 * width, 6 * width, features, 4)
        for layer, (entering, leaving) in enumerate(itertools.pairwise(widths), 1):
            convolution = _conv(entering, leaving, kernel=1 if layer == 1 else 3)
            activation = [] if layer == 6 else [nn.LeakyReLU(SLOPE, inplace=True)]
            self.add_module(f"conv_layer{layer}", Activated(convolution, *activation))

    def forward(self, first: Tensor, second: Tensor, flow: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Return a new flow (not a residual) and a new motion feature.

        Args:
            first, second: features [B, c, h, w].
            flow: current flow, [B, 4, h, w] float32, 0->1 and 1->0 in pixels of the level (four to a grid step).
            feature: current motion feature, [B, c, h, w].
        """
        # 1/4 for the grid, 1/2 for the middle: motion estimation does not depend on t.
        middle = flow * 0.125
        middle_0, middle_1 = splat(first, middle[:, :2]), splat(second, middle[:, 2:])
        volume = functional.leaky_relu(local_correlation(middle_0, middle_1, RADIUS), SLOPE)
        x = torch.cat((volume, middle_0, middle_1, feature, flow.to(feature.dtype)), 1)
        for layer in range(1, 6):
            x = self.get_submodule(f"conv_layer{layer}")(x)
        return self.get_submodule("conv_layer6")(x).float(), x


class SynthesisNetwork(nn.Module):
    """A U-Net from warped images and features to a residual and two masks (section 3.3).

    With `copies` it also gets two backward-warped images and where the splatted ones have holes, and makes four masks.
    """

    def __init__(self, width: int, *, copies: bool = False) -> None:
        super().__init__()
        full, half, quarter = 2 * width, 4 * width, 8 * width
        self.encoder_conv = _block(27 if copies else 19, full, full)
        self.encoder_down1 = _block(full + 2 * width, half, half, half, stride=2)
        self.encoder_down2 = _block(half + 4 * width, quarter, quarter, quarter, stride=2)
        self.decoder_up1 = _upsampling_block(quarter + 8 * width, half)
        self.decoder_up2 = _upsampling_block(half + half, full)
        self.decoder_conv = _block(full + full, full, full)
        self.pred = _conv(full, 7 if copies else 5)

    def forward(self, entering: Sequence[Tensor], features: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the outputs before their activations, [B, 5 or 7, h, w].

        Args:
            entering: the inputs of `encoder_conv`, in order.
            features: warped features of both images at full, half and quarter size.
        """
        dtype = self.pred.weight.dtype
        full = self.encoder_conv(torch.cat(list(entering), 1).to(dtype))
        half = self.encoder_down1(torch.cat((full, *features[0]), 1))
        quarter = self.encoder_down2(torch.cat((half, *features[1]), 1))
        up = self.decoder_up1(torch.cat((quarter, *features[2]), 1))
        up = self.decoder_up2(torch.cat((up, half), 1))
        up = self.decoder_conv(torch.cat((up, full), 1))
        output: Tensor = self.pred(up)
        return output


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


def _block(*widths: int, stride: int = 1) -> nn.Sequential:
    """Convolutions from width to width, each with a PReLU of one slope per channel; the first one has the stride."""
    layers: list[nn.Module] = []
    for index, (entering, leaving) in enumerate(itertools.pairwise(widths)):
        layers += [_conv(entering, leaving, stride=1 if index else stride), PReLU(leaving)]
    return Activated(*layers)


def _upsampling_block(inputs: int, outputs: int) -> nn.Sequential:
    """A transposed convolution to twice the size and a convolution, each with PReLU."""
    return Activated(
        nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), PReLU(outputs), _conv(outputs, outputs), PReLU(outputs)
    )
