"""The displacements of a search for blocks, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vsvfi.models.blocks.constants import Constants
from vsvfi.ops.blocks import best_block, best_of, block_scores, places


@dataclass(frozen=True, slots=True)
class Reach:
    """The displacements of a search: up to `most` (y, x) pixels, each plus `offset` (y, x)."""

    most: tuple[int, int]
    offset: tuple[float, float] = (0.0, 0.0)

    def scores(self, first: Tensor, second: Tensor) -> Tensor:
        """See `vsvfi.ops.blocks.block_scores`."""
        return block_scores(first, second, *self.most)

    def best(self, scores: Tensor, constants: Constants) -> Tensor:
        """See `vsvfi.ops.blocks.best_block`; `constants` remember what plain torch needs besides."""
        if scores.is_cuda:
            return best_block(scores, *self.most, *self.offset)
        given = constants.get(("reach", self, scores.device), lambda: places(self.most, self.offset, scores.device))
        return best_of(scores, self.most[1], given)
