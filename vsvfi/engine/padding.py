"""Pad an image to a size that the network accepts, and crop the result."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.models.family import BuildConfig


@dataclass(frozen=True, slots=True)
class Padding:
    """Pixels added on each side of a width x height image, and what they hold (see `SizeRule`)."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    border: str = "replicate"
    value: float = 0.0

    @classmethod
    def of(cls, build: BuildConfig, width: int, height: int) -> Padding:
        """The padding that a network built with `build` asks for at this size."""
        rule = build.size_rule
        left, right, top, bottom = rule.padding(width, height, build.scale)
        return cls(width, height, left, right, top, bottom, rule.border, rule.value)

    @property
    def needed(self) -> bool:
        """Whether anything is added at all."""
        return bool(self.left or self.right or self.top or self.bottom)

    @property
    def padded_area(self) -> int:
        """Pixels of a padded image."""
        return (self.left + self.width + self.right) * (self.top + self.height + self.bottom)

    def pad(self, image: Tensor) -> Tensor:
        """[B, C, height, width] -> [B, C, padded height, padded width]; the same tensor if no padding is needed."""
        if not self.needed:
            return image
        sides = (self.left, self.right, self.top, self.bottom)
        if self.border == "constant":
            return functional.pad(image, sides, value=self.value)
        if self.border == "replicate":
            return functional.pad(image, sides, mode="replicate")
        rows = _mirrored(self.top, self.height, self.bottom, image.device)
        columns = _mirrored(self.left, self.width, self.right, image.device)
        return image.index_select(-2, rows).index_select(-1, columns)

    def crop(self, image: Tensor) -> Tensor:
        """The inverse of `pad`, as a view."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]


def _mirrored(before: int, length: int, after: int, device: torch.device) -> Tensor:
    """Indices of an axis mirrored at its ends without repeating the edge, as often as it takes."""
    positions = torch.arange(-before, length + after, dtype=torch.int64, device=device)
    period = max(2 * (length - 1), 1)
    folded = positions.remainder(period)
    return torch.minimum(folded, period - folded).clamp(max=length - 1)
