"""VFIMamba's U-Net, which corrects the blend of the warped images (paper section 3.4).

Attribute names are the published keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn

from vsvfi.models.blocks.activated import Activated
from vsvfi.models.blocks.moved import warped
from vsvfi.models.blocks.prelu import PReLU
from vsvfi.models.blocks.tiles import Window
from vsvfi.models.vfimamba.backbone import conv
from vsvfi.ops.warp import resize_bilinear


class Down(nn.Module):
    """Two convolutions that halve the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, outputs, 2)
        self.conv2 = conv(outputs, outputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        features: Tensor = self.conv2(self.conv1(torch.cat(inputs, 1)))
        return features


def up(inputs: int, outputs: int) -> nn.Sequential:
    """Return a transposed convolution that doubles the size."""
    return Activated(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), PReLU(outputs))


def warped_pyramid(features: Sequence[tuple[Tensor, Tensor]], flow: Tensor, window: Window) -> list[Tensor]:
    """Warp the features of both frames at every level by the flow, and concatenate them per level.

    `features` has one (frame 0, frame 1) pair per level, each level at half the size of the last; `flow` is that of a
    window, and so is the result.
    """
    levels = []
    for level, (first, second) in enumerate(features):
        if level:
            flow = resize_bilinear(flow, Fraction(1, 2)) * 0.5
        levels.append(torch.cat((warped(first, flow[:, :2], window), warped(second, flow[:, 2:], window)), 1))
    return levels


class UNet(nn.Module):
    """A U-Net with four levels; the downward path also takes the warped features of each size.

    Args:
        width: F; the paper's c is 2F.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        c = 2 * width
        self.down0 = Down(17 + c, 2 * c)
        self.down1 = Down(4 * c, 4 * c)
        self.down2 = Down(8 * c, 8 * c)
        self.down3 = Down(16 * c, 16 * c)
        self.up0 = up(32 * c, 8 * c)
        self.up1 = up(16 * c, 4 * c)
        self.up2 = up(8 * c, 2 * c)
        self.up3 = up(4 * c, c)
        self.conv = nn.Conv2d(c, 3, 3, 1, 1)

    def forward(self, images: Tensor, levels: Sequence[Tensor]) -> Tensor:
        """Predict the correction, [B, 3, H, W] in (0, 1), where 1/2 is none.

        Takes images, warped images, mask and flow [B, 17, H, W], and five levels of warped features.
        """
        g0, g1, g2, g3, g4 = levels
        s0 = self.down0(images.to(g0.dtype), g0)
        s1 = self.down1(s0, g1)
        s2 = self.down2(s1, g2)
        s3 = self.down3(s2, g3)
        x = self.up0(torch.cat((s3, g4), 1))
        x = self.up1(torch.cat((x, s2), 1))
        x = self.up2(torch.cat((x, s1), 1))
        x = self.up3(torch.cat((x, s0), 1))
        return torch.sigmoid(self.conv(x).float())
