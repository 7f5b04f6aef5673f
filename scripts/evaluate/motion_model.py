"""GIMM alone: the flow at any time from the flows between two frames, at every pixel (weights `gimm.pt`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor, nn

from scripts.evaluate.datasets.item import Item
from vsvfi.engine.device import inference, resolve_device
from vsvfi.models.gimmvfi.motion import (
    ImplicitNetwork,
    encode_flows,
    flow_scale,
    latent_refinement,
    motion_encoder,
    splat_weights,
    splatted,
)
from vsvfi.models.gimmvfi.spec import FAMILY
from vsvfi.weights.fetch import fetch
from vsvfi.weights.load import load_state, match_state
from vsvfi.weights.source import Hub

NAME = "gimm"
SOURCE = Hub(repo="GSean/GIMM-VFI", file="gimm.pt")
_BUDGET = 1 << 30
_IGNORED = ("g_filter$", r"flow_estimator\.", "amt_")
"""A constant, and keys of the complete GIMM-VFI outside the motion model."""


class MotionModel(nn.Module):
    """Sections 4 to 8 of GIMM-VFI; attribute names are the published keys."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha_fe, self.alpha_v = (nn.Parameter(torch.ones(1, dtype=torch.float32, device="cpu")) for _ in range(2))
        self.cnn_encoder, self.res_conv, self.hyponet = motion_encoder(), latent_refinement(), ImplicitNetwork()

    def forward(self, forth: Tensor, back: Tensor, times: Sequence[tuple[float, float]]) -> list[Tensor]:
        """Compute normalised flows [1, 2, H, W], 0.5 being no motion.

        Args:
            forth: flow [1, 2, H, W] from the first frame to the second, in pixels.
            back: the other way round.
            times: for each result the time as the network's coordinate, and the time that latents are splatted to;
                they differ only for an error of the published program.
        """
        scale = flow_scale(forth, back)
        normalised = torch.cat((forth / scale, -back / scale))
        before, after = encode_flows(self.cnn_encoder, (normalised + 1) / 2, _BUDGET).chunk(2)
        weights = [
            splat_weights(flow, partner, self.alpha_fe, self.alpha_v)
            for flow, partner in ((forth, back), (back, forth))
        ]
        made = []
        for coordinate, t in times:
            moment = torch.full((1, 1, 1, 1), t, dtype=torch.float32, device=forth.device)
            carried = splatted((before, after), (forth, back), (weights[0], weights[1]), moment)
            latent = torch.cat(carried, 1) + self.res_conv(torch.cat((before, after, *carried), 1))
            made.append(self.hyponet.at_all_pixels(latent, torch.full_like(moment.flatten(), coordinate)))
        return made


@dataclass(slots=True)
class MotionPredictor:
    """GIMM on one device; answers an item's input flows with normalised flows.

    Attributes:
        late: how much later than the correct time latents are splatted: the published program's error in VSF, in steps
            between the targets.
    """

    model: MotionModel
    device: torch.device
    late: int = 0

    def __call__(self, item: Item, first: Tensor, second: Tensor, index: int) -> list[Tensor]:
        step = Fraction(1, len(item.targets) + 1)
        times = [(float(target.time), float(target.time + self.late * step)) for target in item.targets]
        with inference(self.device):
            made = self.model(first.to(self.device), second.to(self.device), times)
        return [flow.cpu().clone() for flow in made]


def motion_predictor(weights: Path | None, device: str, late: int) -> MotionPredictor:
    """Load the motion model with its published weights, or with those of a file.

    Raises:
        WeightsError: they are not available, or are those of another network.
    """
    path = weights or fetch(NAME, (SOURCE,), licence=FAMILY.code_licence, licence_notice=_notice(), listed=False)
    model = MotionModel()
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    state = match_state(load_state(path), shapes, origin=str(path), model=NAME, ignored=_IGNORED)
    model.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    place = resolve_device(device)
    return MotionPredictor(model.requires_grad_(False).eval().to(place), place, late)


def _notice() -> str:
    return FAMILY.variants[0].licence_notice
