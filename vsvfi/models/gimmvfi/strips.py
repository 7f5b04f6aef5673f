"""Split an image into horizontal strips with halos, to limit the memory of full-size computations.

A stack of convolutions whose receptive field is `halo` rows up and down gives the same result on a strip with its halo
as on the whole image: rows that a strip boundary affects are cropped with the halo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows [begin, end) of an image, computed from rows [lower, upper)."""

    begin: int
    end: int
    lower: int
    upper: int

    def halo(self, image: Tensor, *, shrunk: int = 1) -> Tensor:
        """Return the input rows of this strip from an image [B, C, H / shrunk, W]."""
        return image[..., self.lower // shrunk : self.upper // shrunk, :]

    def crop(self, result: Tensor, *, shrunk: int = 1) -> Tensor:
        """Crop the halo from a result [B, C, (upper - lower) / shrunk, W]."""
        return result[..., (self.begin - self.lower) // shrunk : (self.end - self.lower) // shrunk, :]


def stacked(cut: Iterable[Strip], compute: Callable[[Strip], Tensor]) -> Tensor:
    """Put the rows of all strips together, from results [B, C, rows, W] with halos, which are released at once."""
    first, *others = cut
    made = compute(first)
    if not others:
        return made
    last = made.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    shape = (*made.shape[:2], others[-1].end, made.shape[3])
    whole = torch.empty(shape, dtype=made.dtype, device=made.device, memory_format=layout)
    whole[:, :, first.begin : first.end] = first.crop(made)
    del made
    for strip in others:
        whole[:, :, strip.begin : strip.end] = strip.crop(compute(strip))
    return whole


def strips(height: int, *, halo: int, row_bytes: int, budget: int, multiple: int = 4) -> Iterator[Strip]:
    """Yield as few strips as the budget allows, of nearly equal height.

    Args:
        height: of the image, a multiple of `multiple`.
        halo: receptive field in rows, above and below.
        row_bytes: bytes per computed row, halo rows included.
        budget: maximum bytes of a strip, exceeded only if `multiple` rows need more.
        multiple: all bounds are multiples of this.
    """
    halo = -(-halo // multiple) * multiple
    most = (
        height
        if height * row_bytes <= budget
        else max(multiple, (budget // row_bytes - 2 * halo) // multiple * multiple)
    )
    count = -(-height // most)
    blocks = height // multiple
    bounds = [blocks * index // count * multiple for index in range(count + 1)]
    for begin, end in pairwise(bounds):
        yield Strip(begin, end, max(0, begin - halo), min(height, end + halo))
