"""RAFT (large), "Recurrent All-Pairs Field Transforms for Optical Flow" (ECCV 2020, arXiv 2003.12039).

Both directions of a pair are estimated in one batch.

Attribute names are the published keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vsvfi.models.flow.estimator import FlowEstimator, FlowFeatures
from vsvfi.models.flow.raft.encoder import Encoder
from vsvfi.models.flow.recurrence import (
    HIDDEN,
    FlowHead,
    MaskHead,
    MotionEncoder,
    SeparableGRU,
    convex_upsample,
    pixel_grid,
)
from vsvfi.ops.lookup import BUDGET, correlate, lookup, warm_up

LEVELS, RADIUS = 4, 4
"""Levels of the correlation pyramid, and radius of the window looked up in each level."""


@dataclass(frozen=True)
class RaftFeatures(FlowFeatures):
    """Features of one image.

    Attributes:
        state: [B, 128, H/8, W/8], initial state of the recurrence.
        context: [B, 128, H/8, W/8], its input in every iteration.
    """

    state: Tensor
    context: Tensor


class UpdateBlock(nn.Module):
    """The parts of one iteration, under their published keys."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MotionEncoder(LEVELS * (2 * RADIUS + 1) ** 2)
        self.gru = SeparableGRU(HIDDEN)
        self.flow_head = FlowHead()
        self.mask = MaskHead()


class RAFT(FlowEstimator[RaftFeatures]):
    """The RAFT estimator.

    Args:
        iterations: of the recurrence.
        budget: maximum bytes of the correlation volumes of both directions; larger ones are computed on demand.
    """

    def __init__(self, iterations: int = 20, budget: int = BUDGET) -> None:
        super().__init__()
        self.iterations, self.budget = iterations, budget
        self.fnet = Encoder(stored_statistics=False)
        self.cnet = Encoder(stored_statistics=True)
        self.update_block = UpdateBlock()

    def prepare_operators(self) -> None:
        """Load and compile the lookup operator for the device and type of the weights."""
        weight = self.fnet.conv1.weight
        warm_up(weight.device, weight.dtype)

    def encode(self, image: Tensor) -> RaftFeatures:
        image = image.to(self.fnet.conv1.weight.dtype)
        quarter, eighth, given = self.cnet(image)
        state, context = torch.split(given, HIDDEN, 1)
        *_, matching = self.fnet(image)
        return RaftFeatures(quarter, eighth, matching, torch.tanh(state), torch.relu(context))

    def estimate(self, first: RaftFeatures, second: RaftFeatures) -> tuple[Tensor, Tensor]:
        both = [torch.cat((getattr(first, name), getattr(second, name))) for name in ("matching", "state", "context")]
        matching, state, context = both
        batch, _, height, width = first.matching.shape
        factor = matching.shape[1] ** -0.5
        correlation = correlate(
            matching, matching.roll(batch, 0), levels=LEVELS, factor=factor, budget=self.budget, lookups=self.iterations
        )
        block = self.update_block
        constant = block.gru.prepare(context)
        start = pixel_grid(height, width, matching.device)
        flow = start.new_zeros(2 * batch, 2, height, width)
        for _ in range(self.iterations):
            flow = flow.detach()  # in training, gradients pass through the state alone, as published
            state = block.gru(state, block.encoder(lookup(correlation, start + flow, RADIUS), flow), constant)
            flow = flow + block.flow_head(state)
        forth, back = convex_upsample(flow, block.mask(state)).chunk(2)
        return forth, back
