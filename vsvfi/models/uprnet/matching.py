"""Blocks of images: their normalised correlation at every displacement, and the best one to a fraction of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.models.blocks.constants import Constants

STEP = 4
"""Distance between blocks in pixels of the size that is searched; a block has twice this side."""

_CONTRAST = 3 / 255
"""Deviation below which a neighbourhood counts as flat."""

_AROUND = 9
"""Side of the window of the normalisation in pixels."""

_DISTANCE = 0.015
"""Correlation that a pixel of distance from the centre of a search costs, so that flat blocks stay."""

_LUMA = (0.194, 0.998, 0.508)  # of BGR, 1.7 times the luma's weights: the sum over three channels is as large


def normalised(image: Tensor) -> Tensor:
    """Remove the mean of each pixel's neighbourhood, and divide by its deviation: [B, C, H, W]."""
    difference = image - mean(image, _AROUND)
    variance = mean(difference.square().mean(1, keepdim=True), _AROUND)
    return difference * torch.rsqrt(variance + _CONTRAST**2)


def grey(image: Tensor) -> Tensor:
    """Luma of BGR, [B, 3, H, W] to [B, 1, H, W], 1.7 times as large."""
    blue, green, red = (image[:, channel : channel + 1] * share for channel, share in enumerate(_LUMA))
    return blue + green + red


def block_scores(first: Tensor, second: Tensor, reach: tuple[int, int]) -> Tensor:
    """Correlate blocks of `first` with those of `second` at every displacement.

    Args:
        first, second: normalised images [B, C, h, w], sides multiples of `STEP`.
        reach: the most of a displacement in pixels, along y and along x.

    Returns:
        [B, (2 * reach_y + 1) * (2 * reach_x + 1), h / STEP, w / STEP]: the sum over the channels, averaged over cells
        of `STEP` pixels weighted 1, 2, 1 along each axis; displacements as in `vsvfi.ops.correlation`.
    """
    cells = _cells(first, second, reach)
    cells = functional.pad(cells, (1, 1, 1, 1), mode="replicate")
    for axis in (2, 3):
        count = cells.shape[axis] - 2
        before, own, after = (cells.narrow(axis, start, count) for start in range(3))
        cells = (0.5 * own).add_(before, alpha=0.25).add_(after, alpha=0.25)
    return cells


def _cells(first: Tensor, second: Tensor, reach: tuple[int, int]) -> Tensor:
    """Correlate single cells: a convolution whose every channel has a window of `second` and a cell of `first`."""
    batch, channels, height, width = first.shape
    tall, wide = (STEP + 2 * most for most in reach)
    around = functional.pad(second, (reach[1], reach[1], reach[0], reach[0]))
    windows = around.unfold(2, tall, STEP).unfold(3, wide, STEP)
    cells = first.reshape(batch, channels, height // STEP, STEP, width // STEP, STEP).transpose(3, 4)
    weights = cells.reshape(-1, 1, STEP, STEP)
    scores = functional.conv2d(windows.reshape(1, -1, tall, wide), weights, groups=len(weights))
    result = scores.view(batch, channels, height // STEP, width // STEP, -1).sum(1)
    return result.permute(0, 3, 1, 2) / STEP**2


@dataclass(frozen=True, slots=True)
class Reach:
    """The displacements of a search: up to `most` (y, x) pixels, each plus `offset` (y, x)."""

    most: tuple[int, int]
    offset: tuple[float, float] = (0.0, 0.0)

    def costs(self, device: torch.device) -> Tensor:
        """What each displacement costs for its distance, [1, displacements, 1, 1]."""
        down, right = (
            torch.arange(-most, most + 1, dtype=torch.float32, device=device) + offset
            for most, offset in zip(self.most, self.offset, strict=True)
        )
        distance = (down.square()[:, None] + right.square()).sqrt()
        return (_DISTANCE * distance).reshape(1, -1, 1, 1)

    def sides(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """As [1, n, 1, 1]: the last place along x and y; the first displacement; steps to the four neighbours."""
        across = 2 * self.most[1] + 1
        last, first, steps = (
            [float(across - 1), 2.0 * self.most[0]],
            [self.offset[1] - self.most[1], self.offset[0] - self.most[0]],
            [-1, -across, 1, across],
        )
        lasting, beginning = (
            torch.tensor(values, dtype=torch.float32, device=device).reshape(1, -1, 1, 1) for values in (last, first)
        )
        return lasting, beginning, torch.tensor(steps, dtype=torch.int64, device=device).reshape(1, -1, 1, 1)

    def best(self, scores: Tensor, constants: Constants) -> tuple[Tensor, Tensor]:
        """Find the highest of scores [B, displacements, h, w] less its distance's cost.

        Returns:
            It, [B, 1, h, w], and its displacement, x and y, [B, 2, h, w]: to a fraction of a pixel, by the parabola
            through its neighbours.
        """
        device = scores.device
        costs, (last, first, steps) = constants.get(
            ("reach", self, device), lambda: (self.costs(device), self.sides(device))
        )
        across = 2 * self.most[1] + 1
        scores = scores - costs
        best, index = scores.max(1, keepdim=True)
        place = torch.cat((index % across, index // across), 1)
        around = scores.gather(1, (index + steps).clamp(0, scores.shape[1] - 1))
        before, after = around.chunk(2, 1)
        curvature = before + after - 2 * best
        curved = (place > 0) & (place < last) & (curvature < 0)
        offset = 0.5 * (before - after) / curvature
        return best, place + first + torch.where(curved, offset, 0.0).clamp(-0.5, 0.5)


def mean(maps: Tensor, side: int) -> Tensor:
    """Average over the part inside the image of a window of this odd side around each pixel."""
    if side == 1:
        return maps
    reach = side // 2
    if maps.device.type == "cuda":
        return functional.avg_pool2d(maps, side, 1, reach, count_include_pad=False)
    for axis in (2, 3):  # on a CPU many times faster than pooling
        length = maps.shape[axis]
        total = maps.clone()
        for distance in range(1, min(reach, length - 1) + 1):
            count = length - distance
            total.narrow(axis, distance, count).add_(maps.narrow(axis, 0, count))
            total.narrow(axis, 0, count).add_(maps.narrow(axis, distance, count))
        places = torch.arange(length, dtype=torch.int64, device=maps.device)
        counted = places.clamp(max=reach) + places.flip(0).clamp(max=reach) + 1
        maps = total.div_(counted.to(maps.dtype).reshape((-1, 1) if axis == 2 else (-1,)))
    return maps
