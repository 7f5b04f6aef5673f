"""Training of a small RIFE: a coarse-to-fine flow network that copies from both warped frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scripts.train.architecture import Architecture, Estimate
from scripts.train.data import Sample
from vsvfi.models.rife.network import IFNet
from vsvfi.models.rife.spec import Version
from vsvfi.ops.refinement import blend_pair


def fresh_network(widths: tuple[int, ...]) -> IFNet:
    """Build a network that starts as frame blending: no flow, equal masks."""
    network = IFNet(Version(name="small", widths=widths, summed=True))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2)
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                module.bias.zero_()
        for block in network.blocks:
            for layer in block.convblock:
                layer.get_parameter("beta").fill_(0.3)  # eight residual layers keep the scale
        for weight in output_weights(network):
            weight.mul_(0.02)
    return network


def output_weights(network: IFNet) -> list[Tensor]:
    """Weights whose outputs are flows and masks."""
    return [block.get_parameter("lastconv.0.weight") for block in network.blocks]


def estimate(network: IFNet, sample: Sample) -> Estimate:
    """Compute the flows after every block, and the image of the last."""
    pair = network.prepare_pair(network.encode_frame(sample.first), network.encode_frame(sample.second))
    found = network.estimates(pair, sample.t)
    images = [blend_pair(pair.first, pair.second, one.flow, network.mask(one)) for one in found]
    flows = [one.flow for one in found]
    return Estimate(images, flows, sample.flow, torch.zeros_like(images[-1]))


RIFE = Architecture({"widths": (96, 64, 48, 32)}, fresh_network, output_weights, estimate)
