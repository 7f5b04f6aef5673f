"""UPR-Net in training: both losses on the finest frame, in BGR."""

from __future__ import annotations

import torch

from scripts.train.batch import Batch
from scripts.train.forms.form import Form, Losses, reset
from scripts.train.losses.pixels import census_weighted, charbonnier
from vsvfi.models.uprnet.network import UPRNet


class UPRNetForm(Form):
    """UPR-Net with its losses."""

    network: UPRNet

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        network = self.network
        pair = network.prepare_pair(network.encode_frame(batch.first), network.encode_frame(batch.second))
        image, truth = network.images(pair, batch.t)[-1].clamp(0, 1), batch.truth.flip(1)
        parts = {"charbonnier": charbonnier(image, truth), "census": census_weighted(image, truth)}
        return Losses(parts["charbonnier"] + parts["census"], parts, image.detach().flip(1))

    def initialise(self) -> None:
        reset(self.network)
