"""Cuts a picture into horizontal strips with halos, so that what is computed at full size need not lie in memory at
full size.

A stack of convolutions that reaches `halo` rows gives the same on a strip with its halo as on the whole: what the cut
spoils is thrown away with the halo, and at the picture's own edges there is no cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows [begin, end) of a picture, computed from rows [lower, upper)."""

    begin: int
    end: int
    lower: int
    upper: int

    def halo(self, picture: Tensor, *, shrunk: int = 1) -> Tensor:
        """The rows to compute from, of a picture [B, C, H / shrunk, W]."""
        return picture[..., self.lower // shrunk : self.upper // shrunk, :]

    def crop(self, result: Tensor, *, shrunk: int = 1) -> Tensor:
        """The strip's own rows of what was computed, [B, C, (upper - lower) / shrunk, W]."""
        return result[..., (self.begin - self.lower) // shrunk : (self.end - self.lower) // shrunk, :]


def strips(height: int, *, halo: int, row_bytes: int, budget: int, multiple: int = 4) -> Iterator[Strip]:
    """As few strips as the budget allows, of nearly the same height.

    Args:
        height: of the picture, a multiple of `multiple`.
        halo: rows that a result depends on above and below its own.
        row_bytes: what the computation takes for each row, halo included.
        budget: what it may take; a strip is at least `multiple` rows however small that is.
        multiple: of which all bounds are multiples.
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
