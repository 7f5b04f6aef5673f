"""Training of what chooses between a UPR-Net's frame and the images that a search warped; the rest stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from scripts.train.architecture import Architecture, Estimate
from scripts.train.data import Sample
from scripts.train.uprnet import deep_enough, initialise, used
from vsvfi.models.uprnet.network import UPRNet

_ENTRY = "choice.entry.0.weight"
_BIAS = 3.0
"""Of the weight of UPR-Net's frame: it begins with nearly all of it."""


def fresh_network(width: int, detail: float, choice: bool = True) -> UPRNet:
    """Build a network whose frame is nearly UPR-Net's; only the choice has gradients."""
    network = UPRNet(width, levels=3, detail=detail, search=choice)
    assert network.choice is not None
    with torch.no_grad():
        initialise(network)
        for module in network.choice.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                module.bias.zero_()
        pred = network.choice.pred
        pred.weight.zero_()
        assert pred.bias is not None
        pred.bias[:4] = _BIAS  # four pixels of the first weight, see pixel_shuffle
    network.requires_grad_(False)
    network.choice.requires_grad_(True)
    return network


def output_weights(network: UPRNet) -> list[Tensor]:
    """Weights whose outputs are shares and colours."""
    assert network.choice is not None
    return [network.choice.pred.weight]


def begin(network: UPRNet, state: Mapping[str, Tensor]) -> None:
    """Load weights; those of a UPR-Net without a choice leave its initial values, inputs that are new count nothing."""
    own = {name: value for name, value in network.state_dict().items() if name.startswith("choice.")}
    given = dict(state)
    entry = given.get(_ENTRY)
    if entry is not None:
        given[_ENTRY] = functional.pad(entry, (0, 0, 0, 0, 0, own[_ENTRY].shape[1] - entry.shape[1]))
    network.load_state_dict({**own, **given})


def estimate(network: UPRNet, sample: Sample) -> Estimate:
    """Compute the chosen image of a batch; its correction counts as the residual."""
    network = deep_enough(network, max(sample.first.shape[-2:]))
    with torch.no_grad():
        pair = network.prepare_pair(network.encode_frame(sample.first), network.encode_frame(sample.second))
        image = network.shown(pair, sample.t)
    assert network.choice is not None
    assert pair.candidates is not None
    made = network.choice(image, pair.candidates, sample.t.reshape(-1, 1, 1, 1)).flip(1)
    return Estimate([made], [], sample.motion, torch.zeros_like(made))


CHOICE = Architecture({"width": 8, "detail": 0.4, "choice": True}, fresh_network, output_weights, estimate, used, begin)
