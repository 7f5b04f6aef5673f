"""The packaged model in training, as any of the architectures: errors of image and exact flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scripts.train.architectures import ARCHITECTURES
from scripts.train.batch import Batch
from scripts.train.data import Sample
from scripts.train.forms.form import Form, Losses
from scripts.train.heldout import SIZE, Score, score
from scripts.train.loss import losses


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the losses; the flow's falls to a tenth until the last fifth of the run."""

    flow: float = 0.05
    deviation: float = 0.0
    census: float = 0.0
    sharpness: float = 0.0


class PackagedForm(Form):
    """An architecture with the losses of the packaged model.

    Args:
        name: of the architecture.
        changes: of its config.
        weights: of the losses.
        begin: weights that it begins with, and their file.
    """

    def __init__(
        self,
        name: str,
        changes: Mapping[str, Any],
        weights: Weights,
        begin: tuple[Mapping[str, Tensor], str] | None = None,
    ) -> None:
        self.architecture, self.weights = ARCHITECTURES[name], weights
        config = {**self.architecture.config, **changes}
        network = self.architecture.fresh(**config)
        super().__init__(network.to(memory_format=torch.channels_last))
        if begin is not None:
            self.architecture.begin(network, dict(begin[0]))
        self.facts = {"architecture": name, "config": config, "weights": begin[1] if begin else ""}
        self.exported = (name, config) == ("uprnet", ARCHITECTURES["uprnet"].config)
        self.compiled = False

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        assert batch.flow is not None
        assert batch.motion is not None
        assert batch.still is not None
        sample = Sample(batch.first, batch.second, batch.truth, batch.t, batch.flow, batch.motion, batch.still)
        estimate = self.architecture.estimate(self.network, sample)
        weights = self.weights
        flow = weights.flow * max(0.1, 1 - self.progress / 0.8)
        with torch.autocast(batch.first.device.type, enabled=False):
            total, parts = losses(estimate, sample, flow, weights.deviation, weights.census, weights.sharpness)
        return Losses(total, parts, estimate.images[-1].detach())

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that the architecture has not frozen."""
        return {name: weight for name, weight in super().trained().items() if weight.requires_grad}

    def outputs(self) -> list[Tensor]:
        return self.architecture.outputs(self.network)

    def initialise(self) -> None:
        """Keep what the architecture has drawn."""

    def compile_blocks(self) -> None:
        """Compile the blocks of layers with torch.compile; weights and their names stay as they are.

        The blocks contain no operator of `vsvfi.ops`. They are compiled for any size and batch, since samples vary in
        size and every level of a pyramid has its own. All blocks share one code object, whose compilations torch counts
        together.
        """
        blocks = _blocks(self.network)
        torch._dynamo.config.recompile_limit = 8 * len(blocks)
        for block in blocks:
            block.compile(dynamic=True)
        self.compiled = True

    def scored(self, count: int) -> Score:
        """Score the network on `count` held-out pairs of each kind, as `interpolate` would use it."""
        if not self.compiled:
            return score(self.architecture.used(self.network, SIZE), count)
        with torch.compiler.set_stance("force_eager"):
            return score(self.architecture.used(self.network, SIZE), count)


def _blocks(network: nn.Module) -> list[nn.Module]:
    """Return the largest `nn.Sequential` modules in a network."""
    return [
        block
        for child in network.children()
        for block in ([child] if isinstance(child, nn.Sequential) else _blocks(child))
    ]
