"""What `builtin` adds to UPR-Net at the finest level: matching on a finer grid, and a flow of half the image's size.

The published estimator compares features of a quarter of the size, on whose grid the strokes of small letters vanish.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.uprnet.parts import SLOPE
from vsvfi.ops.correlation import local_correlation
from vsvfi.ops.splat import splat
from vsvfi.ops.warp import resize_bilinear

SEARCH, REACH = 8, 3
"""Radius of both correlations in steps of the half-size grid: of the search, and around its result."""

_TWICE = Fraction(2)


class FineMatcher(nn.Module):
    """Estimate both flows anew at quarter size, comparing cells of 2x2 half-size features at half-size offsets."""

    def __init__(self, width: int) -> None:
        super().__init__()
        features = 4 * width
        entering = (2 * SEARCH + 1) ** 2 + features + 4
        self.layers = _layers((entering, 8 * width, 8 * width, 6 * width, features, 4))

    def forward(self, first: Tensor, second: Tensor, flow: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Return a new flow and a new motion feature.

        Args:
            first, second: half-size features [B, 2c, h/2, w/2].
            flow: [B, 4, h/4, w/4] float32, in pixels of the level.
            feature: current motion feature [B, 4c, h/4, w/4].
        """
        middle_0, middle_1 = _to_the_middle(first, second, resize_bilinear(flow, _TWICE))
        volume = functional.avg_pool2d(local_correlation(middle_0, middle_1, SEARCH), 2)
        x = torch.cat((functional.leaky_relu(volume, SLOPE), feature, flow.to(feature.dtype)), 1)
        x = self.layers[:-1](x)
        return self.layers[-1](x).float(), x


class FlowRefiner(nn.Module):
    """Estimate both flows at half size from half-size features close to the current flow."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(4 * width, 2 * width, 1)
        entering = (2 * REACH + 1) ** 2 + 6 * width + 4
        self.layers = _layers((entering, 5 * width, 4 * width, 4 * width, 4))

    def forward(self, first: Tensor, second: Tensor, flow: Tensor, feature: Tensor) -> Tensor:
        """Return a flow [B, 4, h/2, w/2] in pixels of the level; arguments as of `FineMatcher`."""
        flow = resize_bilinear(flow, _TWICE)
        middle_0, middle_1 = _to_the_middle(first, second, flow)
        volume = functional.leaky_relu(local_correlation(middle_0, middle_1, REACH), SLOPE)
        context = resize_bilinear(self.reduce(feature), _TWICE)
        refined: Tensor = self.layers(torch.cat((volume, middle_0, middle_1, context, flow.to(feature.dtype)), 1))
        return refined.float()


def _to_the_middle(first: Tensor, second: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Splat half-size features to t = 1/2; `flow` [B, 4, h/2, w/2] is in pixels of the level."""
    return splat(first, 0.25 * flow[:, :2]), splat(second, 0.25 * flow[:, 2:])


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Convolutions from width to width, the first one 1x1, all but the last with a leaky ReLU."""
    layers: list[nn.Module] = []
    for index, (entering, leaving) in enumerate(itertools.pairwise(widths)):
        kernel = 3 if index else 1
        layers += [nn.Conv2d(entering, leaving, kernel, 1, kernel // 2), nn.LeakyReLU(SLOPE, inplace=True)]
    return nn.Sequential(*layers[:-1])
