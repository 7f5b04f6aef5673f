"""IFRNet in training: reconstruction, geometry consistency, and distillation where a teacher's flow is known."""

from __future__ import annotations

import torch

from scripts.train.batch import Batch
from scripts.train.forms.form import Form, Losses, recorded, reset
from scripts.train.losses.flows import distillation, geometry
from scripts.train.losses.pixels import census_mean, charbonnier
from vsvfi.models.ifrnet.network import IFRNet
from vsvfi.ops.warp import backward_warp

WEIGHT = 0.01
"""Of geometry and distillation."""


class IFRNetForm(Form):
    """IFRNet with its losses."""

    network: IFRNet

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        network = self.network
        pair = network.prepare_pair(network.encode_frame(batch.first), network.encode_frame(batch.second))
        decoders = (network.decoder4, network.decoder3, network.decoder2)
        with recorded(decoder.convblock.get_submodule("2") for decoder in decoders) as outputs:
            levels = network.estimate(pair, batch.t)
        flow, mask, residual = levels[-1]
        first, second = backward_warp(pair.first, flow[:, :2]), backward_warp(pair.second, flow[:, 2:])
        image = (second + mask * (first - second) + pair.mean + residual).clamp(0, 1)
        truth = network.encoder((batch.truth - pair.mean).to(outputs[0].dtype))  # keeps its gradient
        hidden = [output[:, 4:].float() for output in reversed(outputs)]
        parts = {
            "reconstruction": charbonnier(image, batch.truth) + census_mean(image, batch.truth),
            "geometry": WEIGHT * geometry(hidden, [features.float() for features in truth[:3]]),
        }
        if batch.flow is not None:
            parts["distillation"] = WEIGHT * distillation([level[0] for level in reversed(levels)], batch.flow)
        return Losses(torch.stack(list(parts.values())).sum(), parts, image.detach())

    def initialise(self) -> None:
        reset(self.network)
