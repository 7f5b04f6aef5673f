"""The interface between training and an architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from scripts.train.data import Sample
from vsvfi.engine.build import AnyInterpolator


@dataclass(frozen=True, slots=True)
class Estimate:
    """A network's outputs for a batch.

    Attributes:
        images: RGB, coarse to fine, [B, 3, h, w] not clamped; the last one is the output at full size.
        flows: of every level, [B, 4, h, w] in pixels of their own grid.
        exact: the true flows, [B, 4, H, W].
        residual: [B, 3, H, W] added to the warped images; zeros if it is not separate.
    """

    images: list[Tensor]
    flows: list[Tensor]
    exact: Tensor
    residual: Tensor


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture for the packaged model.

    Attributes:
        config: keyword arguments of `fresh`, as the variant's config in the family's spec.
        fresh: builds the initial network.
        outputs: the weights whose outputs are flows, masks and colours.
        estimate: computes a network's outputs for a batch.
        used: the network as `interpolate()` would use it on images of (width, height).
        begin: loads weights that a run begins with.
    """

    config: dict[str, Any]
    fresh: Callable[..., AnyInterpolator]
    outputs: Callable[[Any], list[Tensor]]
    estimate: Callable[[Any, Sample], Estimate]
    used: Callable[[Any, tuple[int, int]], AnyInterpolator] = lambda network, size: network
    begin: Callable[[Any, dict[str, Tensor]], object] = lambda network, state: network.load_state_dict(state)
