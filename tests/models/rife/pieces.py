"""RIFE networks with seeded weights, by version, and a recorder of their checkpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from tests.models.regression import seeded
from vsvfi.models.rife.blocks import Block
from vsvfi.models.rife.network import IFNet
from vsvfi.models.rife.spec import OTHERS, V40, V46, V425, V425_LITE, V426_HEAVY, Version

OWN = {
    "rife46": V46,
    "rife425": V425,
    "rife425_lite": V425_LITE,
    "rife426": V425,
    "rife426_heavy": V426_HEAVY,
    "rife40": V40,
}
"""The version of each model name, one for each file of goldens."""

NEIGHBOURS = tuple(version for version in OTHERS if version.steps is not None)
UNSUPPORTED = tuple(version for version in OTHERS if version.steps is None)


def narrow(version: Version) -> Version:
    """The same network with few channels."""
    return replace(version, widths=tuple(8 * (index % 2 + 1) for index, _ in enumerate(version.widths)))


def network_of(version: Version, scale: Fraction = Fraction(1), *, ensemble: bool = False) -> IFNet:
    """Return a network whose weights give flows of several pixels, and masks of all values."""
    network = IFNet(version, scale=scale, ensemble=ensemble).eval()
    state = seeded({key: tensor.shape for key, tensor in network.state_dict().items()})
    for key, tensor in state.items():
        if key.endswith("beta"):
            tensor.add_(0.5)
    network.load_state_dict(state, strict=True)
    return network.requires_grad_(False)


@contextlib.contextmanager
def observed() -> Iterator[dict[str, Tensor]]:
    """Record the inputs and outputs of blocks while active, under the specification's checkpoint names.

    The channels of x are in the published order.
    """
    found: dict[str, Tensor] = {}
    numbers: dict[int, int] = {}
    originals: dict[str, Any] = {name: getattr(Block, name) for name in ("forward", "_refined")}

    def number(block: Block) -> int:
        return numbers.setdefault(id(block), len(numbers))

    def forward(block: Block, x: Tensor) -> Tensor:
        found[f"x{number(block)}"] = x[:, torch.tensor(block.order).argsort()]
        output: Tensor = originals["forward"](block, x)
        found[f"out{number(block)}"] = output
        return output

    def refined(block: Block, x: Tensor, folded: object) -> Tensor:
        found[f"entry{number(block)}"] = x.clone()
        output: Tensor = originals["_refined"](block, x, folded)
        found[f"body{number(block)}"] = output
        return output

    for name, method in (("forward", forward), ("_refined", refined)):
        setattr(Block, name, method)
    try:
        yield found
    finally:
        for name, method in originals.items():
            setattr(Block, name, method)
