"""The type every flow estimator implements: what sees one image, and what sees two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class FlowFeatures:
    """What an estimator keeps of one image [B, 3, H, W], in the type of its weights; each estimator adds what it needs
    itself.

    Attributes:
        quarter: [B, 96 or 128, H/4, W/4], the context encoder's features.
        eighth: [B, 128 or 256, H/8, W/8], the same, further down.
        matching: [B, 256, H/8, W/8], what is compared between two images.
    """

    quarter: Tensor
    eighth: Tensor
    matching: Tensor


class FlowEstimator[Features: FlowFeatures](nn.Module, ABC):
    """Estimates motion in both directions between two images whose sizes are multiples of 8 and 64 at the least."""

    def prepare_operators(self) -> None:
        """Load and compile what takes long the first time, for the device and type of the weights."""

    @abstractmethod
    def encode(self, image: Tensor) -> Features:
        """What depends on ONE image: [B, 3, H, W] RGB in [-1, 1]."""

    @abstractmethod
    def estimate(self, first: Features, second: Features) -> tuple[Tensor, Tensor]:
        """Flow first -> second and second -> first: [B, 2, H, W] float32 each, in pixels, x then y, on the grid of the
        image it starts from.
        """
