"""VFIMamba's flow and mask: two coarse heads on features, two local blocks on images (paper section 3.3).

Flow [B, 4, h, w] points from frame t to frame 0 (x, y), then to frame 1 (x, y), in pixels; the mask is the logit of
frame 0's weight. Both are float32 and sums of increments. Attribute names are the published keys.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.vfimamba.backbone import conv
from vsvfi.ops.warp import resize_bilinear

type Increments = tuple[Tensor, Tensor]
"""Increments of flow [B, 4, H, W] and mask [B, 1, H, W], float32."""


def enlarged(output: Tensor, factor: Fraction) -> Increments:
    """Resize a block's five channels [B, 5, h, w] by `factor` and split them into increments."""
    output = resize_bilinear(output.float(), factor)
    return output[:, :4] * float(factor), output[:, 4:5]


def motion_map(features: Tensor) -> Tensor:
    """Map features [2B, C, h, w] of both frames to [B, C/8, 4h, 4w].

    Two pixel shuffles by 2 order channels differently from one by 4.
    """
    batch = features.shape[0] // 2
    both = torch.cat((features[:batch], features[batch:]), 1)
    return functional.pixel_shuffle(functional.pixel_shuffle(both, 2), 2)


class Head(nn.Module):
    """A coarse head at 4/`divisor` of the image's size, on motion features and reduced images.

    The second head also takes the current flow.

    Args:
        inputs: channels of the concatenated inputs.
        channels: between the convolutions.
        divisor: reduction of the stage that provides the features.
    """

    def __init__(self, inputs: int, channels: int, divisor: int) -> None:
        super().__init__()
        self.shrink = Fraction(4, divisor)
        # As published, a PReLU follows the last convolution too, on flow and mask themselves.
        self.conv = nn.Sequential(conv(inputs, channels), conv(channels, channels), conv(channels, 5))

    @property
    def entrance(self) -> nn.Conv2d:
        """The first convolution."""
        first = self.conv.get_submodule("0.0")
        assert isinstance(first, nn.Conv2d)
        return first

    def forward(self, entered: Tensor) -> Increments:
        """Run everything after the first convolution."""
        hidden = self.conv.get_submodule("0.1")(entered)
        return enlarged(self.conv[2](self.conv[1](hidden)), 1 / self.shrink)


class LocalBlock(nn.Module):
    """Refine flow and mask from the images, at 1/`reduction` of their size."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.reduction = reduction
        self.conv0 = nn.Sequential(conv(17, channels // 2, 2), conv(channels // 2, channels, 2))
        self.convblock = nn.Sequential(*(conv(channels, channels) for _ in range(8)))
        self.lastconv = nn.ConvTranspose2d(channels, 5, 4, 2, 1)

    def forward(self, images: Tensor, flow: Tensor) -> Increments:
        """Take images, warped images and mask [B, 13, H, W], and the flow of the warp."""
        shrink = Fraction(1, self.reduction)
        entering = torch.cat((resize_bilinear(images, shrink), resize_bilinear(flow, shrink) * float(shrink)), 1)
        hidden = self.conv0(entering.to(self.lastconv.weight.dtype))
        return enlarged(self.lastconv(self.convblock(hidden) + hidden), Fraction(2 * self.reduction))
