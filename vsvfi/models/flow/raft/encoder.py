"""RAFT's feature encoder and context encoder (paper, section 3.1 and appendix).

They differ in their normalisation only.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from vsvfi.models.blocks.batch_norm import StoredBatchNorm

type Norm = Callable[[int], nn.Module]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a skip connection, projected where the size is halved.

    Both the sum and the convolutions pass a ReLU.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1), norm(outputs)
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, padding=1), norm(outputs)
        self.downsample = (
            nn.Identity() if stride == 1 else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), norm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x)).relu_()
        y = self.norm2(self.conv2(y)).relu_()
        merged: Tensor = (self.downsample(x) + y).relu_()
        return merged


class Encoder(nn.Module):
    """Encode an image [B, 3, H, W] as features at a quarter and an eighth of its size.

    Returns 96 channels at a quarter, 128 at an eighth, and the final 256 at an eighth.

    Args:
        stored_statistics: batch norm (the context encoder), else instance norm (the feature encoder).
    """

    def __init__(self, *, stored_statistics: bool) -> None:
        super().__init__()
        norm: Norm = StoredBatchNorm if stored_statistics else nn.InstanceNorm2d
        self.conv1, self.norm1 = nn.Conv2d(3, 64, 7, 2, padding=3), norm(64)
        self.layer1 = nn.Sequential(ResidualBlock(64, 64, 1, norm), ResidualBlock(64, 64, 1, norm))
        self.layer2 = nn.Sequential(ResidualBlock(64, 96, 2, norm), ResidualBlock(96, 96, 1, norm))
        self.layer3 = nn.Sequential(ResidualBlock(96, 128, 2, norm), ResidualBlock(128, 128, 1, norm))
        self.conv2 = nn.Conv2d(128, 256, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = self.layer1(self.norm1(self.conv1(image)).relu_())
        quarter = self.layer2(half)
        eighth = self.layer3(quarter)
        return quarter, eighth, self.conv2(eighth)
