"""Training of a UPR-Net with finer matching (`fine=True`): it begins with the weights of one without."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scripts.train.architecture import Architecture
from scripts.train.uprnet import estimate, initialise, keep_the_flow, used
from vsvfi.models.uprnet.network import UPRNet

_COPIES_BIAS = -2.0
"""Of the masks of backward-warped images: they begin with a fifth of the picture."""


def fresh_network(width: int, fine: bool = True) -> UPRNet:
    """Build a network that starts as frame blending, whose additions pass on the flow."""
    network = UPRNet(width, levels=3, fine=fine)
    with torch.no_grad():
        initialise(network)
        network.synthesis_network.pred.weight.zero_()
        for module in (network.fine_matcher, network.flow_refiner):
            keep_the_flow([layer for layer in module.layers if isinstance(layer, nn.Conv2d)])
        bias = network.synthesis_network.pred.bias
        assert bias is not None
        bias[5:] = _COPIES_BIAS
    return network


def output_weights(network: UPRNet) -> list[Tensor]:
    """Weights whose outputs are flows, masks and colours."""
    return [
        network.motion_estimator.get_parameter("conv_layer6.0.weight"),
        network.synthesis_network.pred.weight,
        network.fine_matcher.layers[-1].get_parameter("weight"),
        network.flow_refiner.layers[-1].get_parameter("weight"),
    ]


def begin(network: UPRNet, state: Mapping[str, Tensor]) -> None:
    """Load weights; what a UPR-Net without `fine` lacks keeps its initial values."""
    own = network.state_dict()
    with torch.no_grad():
        for name, fresh in own.items():
            found = state.get(name)
            if found is None:
                if not name.startswith(("fine_matcher.", "flow_refiner.")):
                    raise KeyError(f"begin: the weights lack {name}; begin with those of a UPR-Net")
            elif found.shape == fresh.shape:
                fresh.copy_(found)
            else:  # inputs and outputs that are new come last
                if name.endswith("encoder_conv.0.weight"):
                    fresh.zero_()
                fresh[tuple(slice(side) for side in found.shape)] = found
    network.load_state_dict(own)


FINE = Architecture({"width": 8, "fine": True}, fresh_network, output_weights, estimate, used, begin)
