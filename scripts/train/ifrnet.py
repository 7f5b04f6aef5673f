"""Training of an IFRNet: initial weights and outputs, see `scripts.train.architecture`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scripts.train.architecture import Architecture, Estimate
from scripts.train.data import Sample
from vsvfi.models.ifrnet.network import Decoder, IFRNet, ResidualBlock
from vsvfi.ops.warp import backward_warp


def fresh_network(widths: tuple[int, int, int, int], side: int, first_kernel: int = 3) -> IFRNet:
    """Build a network that starts as frame blending and whose features keep their scale from layer to layer.

    At first there is no flow, the mask is about 1 - t, and there is no residual.

    torch's own initial weights shrink features by about 0.6 in each layer, which delays the first useful flow by
    thousands of steps.
    """
    network = IFRNet(widths, side, first_kernel)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, nn.PReLU):
                # slopes of both signs: comparing two frames needs even functions, from which plain rectifiers are slow
                # to build one
                module.weight.uniform_(-0.7, 0.7)
            if isinstance(module, ResidualBlock):
                module.conv5.weight *= 0.3
        for decoder in (network.decoder4, network.decoder3, network.decoder2, network.decoder1):
            _compare_frames(decoder, coarsest=decoder is network.decoder4)
            last = decoder.convblock.get_submodule("2")
            assert isinstance(last, nn.ConvTranspose2d)
            # Four taps of the kernel reach each output
            nn.init.normal_(last.weight, std=(last.in_channels * 4) ** -0.5)
            last.weight[:, : 8 if decoder is network.decoder1 else 4] = 0
            _carry_time(decoder, coarsest=decoder is network.decoder4, finest=decoder is network.decoder1)
    return network


def _compare_frames(decoder: Decoder, *, coarsest: bool) -> None:
    """Let a third of the first convolution see the sum of both frames' features, a third their difference."""
    first = decoder.convblock.get_submodule("0.0")
    assert isinstance(first, nn.Conv2d)
    width = (first.in_channels - 1) // 2 if coarsest else (first.in_channels - 4) // 3
    start = 0 if coarsest else width
    third = first.out_channels // 3
    one, two = slice(start, start + width), slice(start + width, start + 2 * width)
    first.weight[:third, two] = first.weight[:third, one]
    first.weight[third : 2 * third, two] = -first.weight[third : 2 * third, one]


def _carry_time(decoder: Decoder, *, coarsest: bool, finest: bool) -> None:
    """Reserve one channel that brings t unchanged to every level, and to the mask, which so begins near 1 - t."""
    first, block, last = (
        decoder.convblock.get_submodule("0.0"),
        decoder.convblock.get_submodule("1"),
        decoder.convblock.get_submodule("2"),
    )
    activation = decoder.convblock.get_submodule("0.1")
    assert isinstance(first, nn.Conv2d)
    assert isinstance(activation, nn.PReLU)
    assert isinstance(block, ResidualBlock)
    assert isinstance(last, nn.ConvTranspose2d)
    assert last.bias is not None
    first.weight[0] = 0
    first.weight[0, -1 if coarsest else 0, 1, 1] = 1
    block.conv5.weight[0] = 0
    if finest:
        last.weight[0, 4] = -4 / 4  # the logit of 1 - t is about 4 (1/2 - t)
        last.bias[4] = 2
    else:
        last.weight[:, 4] = 0
        last.weight[0, 4] = 1 / 4


def output_weights(network: IFRNet) -> list[Tensor]:
    """Weights whose outputs are flows, masks and colours."""
    last = (decoder.convblock.get_submodule("2") for decoder in network.modules() if isinstance(decoder, Decoder))
    return [layer.weight for layer in last if isinstance(layer, nn.ConvTranspose2d)]


def estimate(network: IFRNet, sample: Sample) -> Estimate:
    """Compute the network's outputs for a batch."""
    pair = network.prepare_pair(network.encode_frame(sample.first), network.encode_frame(sample.second))
    levels = network.estimate(pair, sample.t)
    flow, mask, residual = (value.float() for value in levels[-1])
    first, second = backward_warp(pair.first.float(), flow[:, :2]), backward_warp(pair.second.float(), flow[:, 2:])
    image = second + mask * (first - second) + pair.mean + residual
    return Estimate([image], [level[0].float() for level in levels], sample.flow, residual)


IFRNET = Architecture(
    {"widths": (16, 32, 48, 64), "side": 16, "first_kernel": 3}, fresh_network, output_weights, estimate
)
