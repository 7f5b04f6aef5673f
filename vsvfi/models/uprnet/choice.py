"""What `builtin` adds to UPR-Net's frame: for each pixel, a choice between it and images that another search warped."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.activated import Activated
from vsvfi.models.blocks.constants import Constants
from vsvfi.models.blocks.prelu import PReLU
from vsvfi.models.uprnet.sampling import sampled
from vsvfi.models.uprnet.search import MULTIPLE, search_motion
from vsvfi.ops.warp import backward_warp

_HALF_SIZE, _QUARTER_SIZE = 32, 48
_INPUTS = 18
_MOTION = 1 / 16
_HALO = 32
"""How far in pixels what is around a pixel counts: 21, rounded up to a multiple of 4."""

_LEAST = 1e-3
_MOST_DOUBT = 3.0
"""Pixels of disagreement from which more makes no difference."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Both images of a pair and the motion that `search_motion` found, float32."""

    first: Tensor  # [B, 3, H, W]
    second: Tensor
    back: Tensor  # [B, 2, H, W]: from the second image to the first
    forth: Tensor
    apart: Tensor  # [B, 2, H, W]: distance of `back` and of `forth` from the network's flow
    doubts: Tensor
    """[B, 3, H, W]: 0, and by how far there and back misses each pixel of the second and of the first image."""
    unmoved: Tensor  # [B, 1, H, W]: mean difference of the images

    def rows(self, begin: int, end: int) -> Candidates:
        """Return a part of the picture."""
        return Candidates(*(getattr(self, name)[..., begin:end, :] for name in Candidates.__slots__))


@torch.no_grad()
def find_candidates(
    first: Tensor, second: Tensor, flow: Tensor, constants: Constants, shrunk: int = 1, band: int | None = None
) -> Candidates:
    """Search the motion of a pair in both directions at once; it has no derivatives.

    Args:
        first, second: [B, 3, H, W] float32 in [0, 1].
        flow: [B, 4, H, W] float32, the network's flow from `first` to `second` and back, in pixels.
        constants, shrunk, band: see `search_motion`.
    """
    height, width = first.shape[2:]
    sides = (0, -width % (MULTIPLE * shrunk), 0, -height % (MULTIPLE * shrunk))
    before, after, estimated = (_padded(tensor, sides) for tensor in (first, second, flow))
    found = search_motion(before, after, estimated, constants, shrunk, band)[..., :height, :width]
    batch = len(found)
    forth, back = found[:, :2], found[:, 2:]
    there, again = torch.cat((back, forth)), found.reshape(batch, 2, 2, height, width).transpose(0, 1).flatten(0, 1)
    missed = _length(there + backward_warp(again, there)).clamp_(max=_MOST_DOUBT)
    apart = _length(there - torch.cat((flow[:, 2:], flow[:, :2])))
    return Candidates(
        first,
        second,
        there[:batch],
        there[batch:],
        apart.reshape(2, batch, height, width).transpose(0, 1),
        torch.cat((torch.zeros_like(missed[:batch]), missed.reshape(2, batch, height, width).transpose(0, 1)), 1),
        (second - first).abs_().mean(1, keepdim=True),
    )


class Choice(nn.Module):
    """A small U-Net at half the size whose outputs weigh three images, and correct the result."""

    def __init__(self) -> None:
        super().__init__()
        self.constants = Constants(self)
        self.entry = Activated(*_layer(4 * _INPUTS, _HALF_SIZE))
        self.down = Activated(
            *_layer(_HALF_SIZE, _QUARTER_SIZE, 2),
            *_layer(_QUARTER_SIZE, _QUARTER_SIZE),
            *_layer(_QUARTER_SIZE, _QUARTER_SIZE),
        )
        self.up = nn.ConvTranspose2d(_QUARTER_SIZE, _HALF_SIZE, 4, 2, 1)
        self.merge = Activated(PReLU(2 * _HALF_SIZE), *_layer(2 * _HALF_SIZE, _HALF_SIZE))
        self.pred = nn.Conv2d(_HALF_SIZE, 4 * 6, 3, 1, 1)

    def forward(self, image: Tensor, found: Candidates, times: Tensor, band: int | None = None) -> Tensor:
        """Return the frame [B, 3, H, W], not clamped.

        Args:
            image: UPR-Net's frame, [B, 3, H, W] float32.
            found: of the pair.
            times: [B, 1, 1, 1].
            band: rows that are computed at once, a multiple of 4; None for all.
        """
        height = image.shape[2]
        shares = torch.addcmul(*self._line((0, 1), (1, -1), times))
        before = sampled(found.first, shares[:, :1] * found.back, self.constants).clamp_(0, 1)
        after = sampled(found.second, shares[:, 1:] * found.forth, self.constants).clamp_(0, 1)
        if band is None:
            return self._mixed(image, (before, after), found, shares)
        parts = []
        for top in range(0, height, band):
            bottom = min(height, top + band)
            begin, end = max(0, top - _HALO), min(height, bottom + _HALO)
            some = image[:, :, begin:end], (before[:, :, begin:end], after[:, :, begin:end]), found.rows(begin, end)
            parts.append(self._mixed(*some, shares)[:, :, top - begin : bottom - begin])
        return torch.cat(parts, 2)

    def _mixed(self, image: Tensor, copies: tuple[Tensor, Tensor], found: Candidates, shares: Tensor) -> Tensor:
        """Weigh the images of a part of the picture; `shares` are the times from the first and to the second one."""
        height, width = image.shape[2:]
        x = self._entering(image, copies, found, shares)
        x = _padded(x, (0, -width % 4, 0, -height % 4))
        x = functional.pixel_unshuffle(x, 2).to(self.pred.weight.dtype)
        half = self.entry(x)
        x = self.merge(torch.cat((self.up(self.down(half)), half), 1))
        output = functional.pixel_shuffle(self.pred(x).float(), 2)[..., :height, :width]
        prior = torch.addcmul(*self._line((1, 1, 0), (0, -1, 1), shares[:, :1])).clamp_min_(_LEAST).log_()
        weights = torch.softmax(output[:, :3] + prior - found.doubts, 1)
        mixed = weights[:, :1] * image
        for index, copied in enumerate(copies, 1):
            mixed = torch.addcmul(mixed, weights[:, index : index + 1], copied)
        return mixed + output[:, 3:]

    def _entering(self, image: Tensor, copies: tuple[Tensor, Tensor], found: Candidates, shares: Tensor) -> Tensor:
        """Return what the choice is made from, [B, _INPUTS, H, W]."""
        images = torch.stack((image, *(copied.expand_as(image) for copied in copies)), 1)
        apart = (images - images.roll(-1, 1)).abs().mean(2)  # the first two, both copies, the last and the first
        differences = apart[:, 1:2], apart[:, :1], apart[:, 2:]
        moved = _MOTION * shares * found.apart
        unmoved, where = (values.expand_as(image[:, :1]) for values in (found.unmoved, shares[:, :1]))
        doubts = (found.doubts[:, 1:] / _MOST_DOUBT).expand_as(image[:, :2])
        return torch.cat((images.flatten(1, 2), *differences, moved, unmoved, where, doubts), 1)

    def _line(self, at_0: tuple[int, ...], slope: tuple[int, ...], times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For `torch.addcmul`: what grows with the time [B, 1, 1, 1], in channels."""
        begin, rise = self.constants.get(
            ("line", at_0, slope, times.device),
            lambda: [
                torch.tensor(v, dtype=torch.float32, device=times.device).reshape(1, -1, 1, 1) for v in (at_0, slope)
            ],
        )
        return begin, rise, times


def _length(flow: Tensor) -> Tensor:
    """Of [B, 2, H, W], [B, 1, H, W]; on a CPU `norm` takes eighty times as long."""
    return torch.hypot(flow[:, :1], flow[:, 1:])


def _padded(image: Tensor, sides: tuple[int, int, int, int]) -> Tensor:
    return functional.pad(image, sides, mode="replicate") if any(sides) else image


def _layer(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1), PReLU(outputs)]
