"""The interface of all flow estimators: encode one image, then estimate flow between two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class FlowFeatures:
    """Features of one image [B, 3, H, W], in the type of the weights.

    Estimators extend it by what they need themselves.

    Attributes:
        quarter: [B, 96 or 128, H/4, W/4], features of the context encoder.
        eighth: [B, 128 or 256, H/8, W/8], features of its next stage.
        matching: [B, 256, H/8, W/8], features that are correlated between two images.
    """

    quarter: Tensor
    eighth: Tensor
    matching: Tensor


class FlowEstimator[Features: FlowFeatures](nn.Module, ABC):
    """Estimate optical flow in both directions between two images.

    Image sizes are multiples of 8, and at least 64.

    Attributes:
        iterations: of the recurrence.
    """

    iterations: int

    def prepare_operators(self) -> None:
        """Load and compile operators for the device and type of the weights."""

    @abstractmethod
    def encode(self, image: Tensor) -> Features:
        """Compute what depends on ONE image: [B, 3, H, W] RGB in [-1, 1]."""

    @abstractmethod
    def estimate(self, first: Features, second: Features) -> tuple[Tensor, Tensor]:
        """Return the flows first -> second and second -> first.

        Each is [B, 2, H, W] float32 in pixels, x then y, on the grid of the image it starts from.
        """
