"""Constants are computed once, until other weights are loaded, and never while weights are trained."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from vsvfi.models.blocks.constants import _ENTRIES, Constants


class Doubled(nn.Linear):
    """A layer that remembers twice its weight."""

    def __init__(self) -> None:
        super().__init__(1, 1, bias=False)
        self.computed = 0
        self.constants = Constants(self)

    def forward(self, input: Tensor) -> Tensor:
        return self.constants.get(("doubled", input.shape[0]), self._compute)

    def _compute(self) -> Tensor:
        self.computed += 1
        return 2 * self.weight


def test_constants_are_computed_once_for_the_loaded_weights() -> None:
    layer, inputs = Doubled(), torch.zeros(1, 1)
    with torch.no_grad():
        assert layer(inputs) is layer(inputs)
        layer(torch.zeros(2, 1))
    assert layer.computed == 2
    other = copy.deepcopy(layer)
    for loaded in (layer, other):
        with torch.no_grad():
            loaded.load_state_dict({"weight": torch.full((1, 1), 5.0)})
            assert float(loaded(inputs)) == 10


def test_nothing_is_remembered_while_weights_are_trained() -> None:
    layer, inputs = Doubled(), torch.zeros(1, 1)
    assert layer(inputs).requires_grad
    with torch.no_grad():
        layer.weight.add_(1)
    assert torch.equal(layer(inputs), 2 * layer.weight)


def test_the_number_of_constants_is_bounded() -> None:
    layer = Doubled()
    with torch.no_grad():
        for count in range(5 * _ENTRIES):
            layer(torch.zeros(count + 1, 1))
    assert len(layer.constants._values) <= _ENTRIES
