"""The interface of all training forms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scripts.train.batch import Batch
from vsvfi.engine.build import AnyInterpolator
from vsvfi.models.blocks.batch_norm import StoredBatchNorm


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of a batch.

    Attributes:
        total: to be minimised.
        parts: its named parts, as the published program reports them.
        image: the predicted frames [B, 3, H, W] RGB, detached; None if the form predicts none.
    """

    total: Tensor
    parts: dict[str, Tensor]
    image: Tensor | None


class Form(nn.Module, ABC):
    """A network and the losses it is trained with.

    Args:
        network: with the published keys.

    Attributes:
        parts: prefixes of the weights that are trained; empty for all.
        drawn: prefixes of the weights that `initialise` draws.
        required: prefixes of the weights that must come from files.
        sections: prefixes of the parts of the network that files may hold alone.
        filled: prefixes of the weights that have values; the others are not exported.
        progress: completed share of the run, 0 to 1, for losses that change with it.
        facts: what a checkpoint says of the network.
        exported: the recipe's model takes the weights; otherwise only checkpoints are written.
    """

    parts: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ("",)
    required: tuple[str, ...] = ()
    sections: tuple[tuple[str, ...], ...] = (("",),)
    exported: bool = True

    def __init__(self, network: AnyInterpolator) -> None:
        super().__init__()
        self.network = network
        self.filled = set(self.drawn)
        self.progress = 0.0
        self.facts: dict[str, Any] = {}

    @abstractmethod
    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        """Compute the losses; `random` is the only source of random numbers."""

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that are trained, by their published names."""
        return {
            name: weight
            for name, weight in self.network.named_parameters()
            if not self.parts or name.startswith(self.parts)
        }

    def outputs(self) -> list[Tensor]:
        """Return the weights of output layers, which Muon is not for."""
        return []

    @abstractmethod
    def initialise(self) -> None:
        """Draw the published initial weights from torch's global generator."""


def reset(network: nn.Module) -> None:
    """Draw torch's default initial weights for every layer that has them."""
    for module in network.modules():
        if isinstance(module, StoredBatchNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
            module.running_mean.zero_()
            module.running_var.fill_(1)
        elif isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
        elif callable(getattr(module, "reset_parameters", None)):
            module.reset_parameters()  # type: ignore[operator]


def use_batch_statistics(network: nn.Module) -> None:
    """Replace batch norms that use stored statistics by those that compute and update them, with the same keys."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, StoredBatchNorm):
                norm = nn.BatchNorm2d(child.weight.numel(), child.eps)
                norm.load_state_dict(child.state_dict(), strict=False)
                parent.register_module(name, norm.to(child.weight.device))


@contextmanager
def recorded(modules: Iterable[nn.Module]) -> Iterator[list[Any]]:
    """Collect the outputs of modules in the order in which they are called."""
    outputs: list[Any] = []
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output)) for module in modules
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
