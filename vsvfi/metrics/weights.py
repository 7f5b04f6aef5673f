"""Obtain the weights of the metrics' networks, and load them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from vsvfi.weights.fetch import fetch
from vsvfi.weights.load import load_state, match_state
from vsvfi.weights.source import Source, Url, WheelMember

type Weights = str | os.PathLike[str] | Mapping[str, Tensor]
"""A file, or a state dict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A file of weights for `fetch`.

    Attributes:
        name: of the network, for messages.
        sources: best first.
        licence: shown before a download.
        ignored: regular expressions for keys that the metric does not use.
        renamed: regular expression for parts of the published keys -> their replacement.
    """

    name: str
    sources: Sequence[Source]
    licence: str
    ignored: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def path(self) -> Path:
        """Return the path of the published file, downloaded if necessary.

        Raises:
            WeightsError: it is not available.
        """
        return fetch(self.name, self.sources, licence=self.licence, listed=False)

    def state(self, given: Weights | None, expected: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        """Return the tensors of `given`, or of the published file.

        Raises:
            WeightsError: they are not available, or are those of another network.
            ArgumentError: the file does not exist.
        """
        found = self.path() if given is None else given
        origin = "the given state dict" if isinstance(found, Mapping) else str(found)
        tensors = load_state(found)
        for pattern, ours in self.renamed.items():
            tensors = {re.sub(pattern, ours, key): tensor for key, tensor in tensors.items()}
        state = match_state(tensors, expected, origin=origin, model=self.name, ignored=self.ignored)
        return {key: tensor.to(torch.float32) for key, tensor in state.items()}


ALEXNET = Published(
    name="AlexNet (LPIPS)",
    sources=(Url(url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", sha256="7be5be79"),),
    licence="BSD-3-Clause (torchvision); trained on ImageNet, whose images are for research without profit",
    ignored=(r"classifier\.",),
)
LPIPS_HEADS = Published(
    name="LPIPS heads",
    sources=(
        WheelMember(
            package="lpips",
            version="0.1.4",
            member="lpips/weights/v0.1/alex.pth",
            sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
            size=6_009,
            wheel_sha256="fd537af5828b69d2e6ffc0a397bd506dbc28ca183543617690844c08e102ec5e",
            wheel_size=53_763,
        ),
    ),
    licence="BSD-2-Clause",
)
_PWCNET_FILE = "content.sniklaus.com/github/pytorch-pwc/network-default.pytorch"
PWCNET = Published(
    name="PWC-Net (FloLPIPS)",
    sources=(Url(url=f"https://{_PWCNET_FILE}"), Url(url=f"http://{_PWCNET_FILE}")),
    licence="GPL-3.0 (pytorch-pwc); converted from NVIDIA's PWC-Net, CC BY-NC-SA 4.0: non-commercial use only",
    renamed={r"\bmodule(?=[A-Z])": "net"},
)
_FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0"
INCEPTION = Published(
    name="InceptionV3 (FID)",
    sources=(Url(url=f"{_FIDELITY}/weights-inception-2015-12-05-6726825d.pth", sha256="6726825d"),),
    licence="Apache-2.0",
)


OF_METRICS: Mapping[str, Sequence[Published]] = {
    "lpips": (ALEXNET, LPIPS_HEADS),
    "flolpips": (ALEXNET, LPIPS_HEADS, PWCNET),
    "fid": (INCEPTION,),
}
"""Metric -> the weights that it needs."""


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    """Return name -> shape of every tensor of a network."""
    return {key: tensor.shape for key, tensor in module.state_dict().items()}


def filled[T: nn.Module](module: T, state: Mapping[str, Tensor], device: torch.device) -> T:
    """Return the network with these weights, in evaluation mode."""
    module.load_state_dict(dict(state))
    return module.requires_grad_(False).eval().to(device)
