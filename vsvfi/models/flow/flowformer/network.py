"""FlowFormer, "A Transformer Architecture for Optical Flow" (ECCV 2022, arXiv 2203.16194).

Attribute names are the published keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vsvfi.models.flow.estimator import FlowEstimator, FlowFeatures
from vsvfi.models.flow.flowformer.cost_encoder import CostPerceiverEncoder
from vsvfi.models.flow.flowformer.decoder import MemoryDecoder
from vsvfi.models.flow.flowformer.twins import Backbone
from vsvfi.ops.lookup import BUDGET, Correlation, Volume, correlate, warm_up


@dataclass(frozen=True)
class FlowFormerFeatures(FlowFeatures):
    """Features of one image.

    Attributes:
        state: [B, 128, H/8, W/8], initial state of the recurrence.
        context: [B, 128, H/8, W/8], its input in every iteration, and the input of global attention.
        projected: [B, H/8, W/8, 6 * 64], the context projected for the cost encoder's blocks.
    """

    state: Tensor
    context: Tensor
    projected: Tensor


class MemoryEncoder(nn.Module):
    """A container that gives the matching encoder and the cost encoder their published keys."""

    def __init__(self) -> None:
        super().__init__()
        self.feat_encoder = Backbone()
        self.channel_convertor = nn.Conv2d(256, 256, 1, bias=False)
        self.cost_perceiver_encoder = CostPerceiverEncoder()


class FlowFormer(FlowEstimator[FlowFormerFeatures]):
    """The FlowFormer estimator.

    Args:
        iterations: of the recurrence.
        volume_budget: maximum bytes of the cost maps of both directions; larger ones are computed on demand.
        map_budget: maximum bytes of the global-attention maps; larger ones are recomputed in each iteration.
    """

    def __init__(self, iterations: int = 32, *, volume_budget: int = BUDGET, map_budget: int = BUDGET) -> None:
        super().__init__()
        self.iterations, self.volume_budget, self.map_budget = iterations, volume_budget, map_budget
        self.memory_encoder = MemoryEncoder()
        self.memory_decoder = MemoryDecoder()
        self.context_encoder = Backbone()

    def prepare_operators(self) -> None:
        """Load and compile the lookup operator; costs are float32."""
        warm_up(self.memory_decoder.proj.weight.device, torch.float32)

    def encode(self, image: Tensor) -> FlowFormerFeatures:
        image = image.to(self.memory_decoder.proj.weight.dtype)
        matching = self.memory_encoder.channel_convertor(self.memory_encoder.feat_encoder(image)[1])
        quarter, eighth = self.context_encoder(image)
        state, context = self.memory_decoder.start(eighth)
        projected = self.memory_encoder.cost_perceiver_encoder.project_context(eighth.permute(0, 2, 3, 1))
        return FlowFormerFeatures(quarter, eighth, matching, state, context, projected)

    def estimate(self, first: FlowFormerFeatures, second: FlowFormerFeatures) -> tuple[Tensor, Tensor]:
        # Costs are sums of 256 products and reach several hundreds, which half precision would round to quarters.
        forth, back = (
            torch.cat((one.matching, other.matching)).float() for one, other in ((first, second), (second, first))
        )
        costs = correlate(forth, back, levels=1, budget=self.volume_budget)
        projected, state, context = (
            torch.cat(both)
            for both in (
                (first.projected, second.projected),
                (first.state, second.state),
                (first.context, second.context),
            )
        )
        encoder = self.memory_encoder.cost_perceiver_encoder
        # One direction of one pair at a time: each has its own context, and enough source pixels to use the device.
        memory = torch.stack(
            [encoder(lambda part, index=index: _maps(costs, index, part), own) for index, own in enumerate(projected)]
        )
        flow: Tensor = self.memory_decoder(costs, memory, state, context, self.iterations, self.map_budget)
        there, again = flow.chunk(2)
        return there, again


def _maps(costs: Correlation, index: int, part: slice) -> Tensor:
    """Return the cost maps [S, h, w] of a slice of source pixels of one batch entry."""
    if isinstance(costs, Volume):
        return costs.levels[0][index, part]
    (target,) = costs.targets
    return (costs.source[index].flatten(1)[:, part].T @ target[index].flatten(1)).reshape(-1, *target.shape[2:])
