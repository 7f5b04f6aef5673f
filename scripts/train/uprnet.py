"""Training of a UPR-Net: initial weights and outputs, see `scripts.train.architecture`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from scripts.train.architecture import Architecture, Estimate
from scripts.train.data import Sample
from vsvfi.models.uprnet.network import UPRNet
from vsvfi.models.uprnet.parts import SLOPE, FeaturePyramid
from vsvfi.models.uprnet.spec import BUILTIN_MORE_LEVELS, levels_for

LEVELS = 3
"""Levels for samples up to 128 pixels; one more for every doubling, and one for their larger motion."""


def fresh_network(width: int) -> UPRNet:
    """Build a network that starts as frame blending (no flow, equal masks, no residual).

    Its features keep their scale from layer to layer.
    """
    network = UPRNet(width, levels=LEVELS)
    with torch.no_grad():
        initialise(network)
        network.synthesis_network.pred.weight.zero_()
    return network


def initialise(network: UPRNet) -> None:
    """Fill the weights of a network so that features keep their scale and the estimator passes on the flow."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=0.2)
        if isinstance(module, nn.ConvTranspose2d):
            # Four taps of the kernel reach each output
            nn.init.normal_(module.weight, std=(module.in_channels * 4 / 2) ** -0.5)
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
            module.bias.zero_()
    _normalise(network.feat_pyramid)
    estimator = network.motion_estimator
    layers = [estimator.get_submodule(f"conv_layer{number}.0") for number in range(1, 7)]
    keep_the_flow([layer for layer in layers if isinstance(layer, nn.Conv2d)])


def _normalise(pyramid: FeaturePyramid) -> None:
    """Normalise every layer's output to mean 0 and deviation 1 on noise with a natural spectrum.

    Otherwise features shrink from layer to layer and their products vanish.
    """
    x = sum(
        functional.interpolate(torch.randn(4, 3, 128 >> level, 128 >> level), size=(128, 128), mode="bilinear")
        * 2.0**level
        for level in range(6)
    )
    assert isinstance(x, Tensor)
    x = 0.5 + 0.2 * x / x.std()
    for stage in range(3):
        for layer in pyramid.get_submodule(f"conv_stage{stage}").children():
            if isinstance(layer, nn.Conv2d):
                layer.weight -= layer.weight.mean((1, 2, 3), keepdim=True)  # blind to brightness
                made = layer(x)
                mean, deviation = made.mean((0, 2, 3)), made.std((0, 2, 3))
                layer.weight /= deviation[:, None, None, None]
                assert layer.bias is not None
                layer.bias.copy_(-mean / deviation)
            x = layer(x)


def keep_the_flow(layers: list[nn.Conv2d]) -> None:
    """Initialise an estimator's convolutions to pass on the current flow, the last four inputs.

    Every level thus learns a correction. Each of the four components has its own pair of channels with opposite signs,
    which inverts the leaky ReLU: x = (leaky(x) - leaky(-x)) / (1 + slope).
    """
    first, *between, last = layers
    pair = torch.cat((torch.eye(4), -torch.eye(4)))  # [8, 4]
    undo = pair.T / (1 + SLOPE)
    first.weight[:8] = 0
    first.weight[:8, -4:, 0, 0] = pair
    for layer in between:
        layer.weight[:8] = 0
        layer.weight[:8, :8, 1, 1] = pair @ undo
    last.weight.zero_()
    last.weight[:, :8, 1, 1] = undo


def output_weights(network: UPRNet) -> list[Tensor]:
    """Weights whose outputs are flows, masks and colours."""
    return [network.motion_estimator.get_parameter("conv_layer6.0.weight"), network.synthesis_network.pred.weight]


def estimate(network: UPRNet, sample: Sample) -> Estimate:
    """Compute the network's outputs for a batch: flows between the frames, an image at every level."""
    network = deep_enough(network, max(sample.first.shape[-2:]))
    pair = network.prepare_pair(network.encode_frame(sample.first), network.encode_frame(sample.second))
    images = [image.flip(1) for image in network.images(pair, sample.t)]
    return Estimate(images, [flows[0] for flows in pair.flows], sample.motion, torch.zeros_like(images[-1]))


def deep_enough(network: UPRNet, side: int) -> UPRNet:
    """Return a network with the same weights and the pyramid for training samples of this size."""
    levels = LEVELS if side <= 128 else LEVELS + 1 + (side - 1).bit_length() - 7
    return network if levels == len(network.levels) else network.of_levels(levels)


def used(network: UPRNet, size: tuple[int, int]) -> UPRNet:
    """Return a network with the packaged model's number of levels for images of this size."""
    return network.of_levels(levels_for(*size) + BUILTIN_MORE_LEVELS)


def begin(network: UPRNet, state: Mapping[str, Tensor]) -> None:
    """Load weights; those of a search, which the packaged file has besides, are left out."""
    network.load_state_dict({name: value for name, value in state.items() if not name.startswith("choice.")})


UPRNET = Architecture({"width": 8}, fresh_network, output_weights, estimate, used, begin)
