"""UPR-Net in training: both losses on the finest frame, in BGR; with a search, on the chosen frame too."""

from __future__ import annotations

import torch

from scripts.train.batch import Batch
from scripts.train.forms.form import Form, Losses, reset
from scripts.train.losses.pixels import census_weighted, charbonnier
from vsvfi.models.uprnet.network import UPRNet

_BIAS = 3.0
"""Of the weight of UPR-Net's frame in a choice that was not trained: it begins with nearly all of it."""


class UPRNetForm(Form):
    """UPR-Net with its losses."""

    network: UPRNet

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        network = self.network
        pair = network.prepare_pair(network.encode_frame(batch.first), network.encode_frame(batch.second))
        image, truth = network.shown(pair, batch.t), batch.truth.flip(1)
        parts = {"charbonnier": charbonnier(image, truth), "census": census_weighted(image, truth)}
        total = parts["charbonnier"] + parts["census"]
        if network.choice is not None:
            image = network.chosen(image, pair, batch.t)
            parts["chosen"] = charbonnier(image, truth) + census_weighted(image, truth)
            total = total + parts["chosen"]
        return Losses(total, parts, image.detach().flip(1))

    def initialise(self) -> None:
        reset(self.network)
        if self.network.choice is not None:
            pred = self.network.choice.pred
            assert pred.bias is not None
            with torch.no_grad():
                pred.weight.zero_()
                pred.bias.zero_()
                pred.bias[:4] = _BIAS  # four pixels of the first weight, see pixel_shuffle
