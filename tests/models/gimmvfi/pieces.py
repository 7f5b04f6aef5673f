"""Networks and images shared by the tests of GIMM-VFI."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.building import loaded, network_of
from tests.models.goldens import golden
from tests.models.regression import GAINS, seeded
from vsvfi.engine.padding import Padding
from vsvfi.models.gimmvfi.network import GIMMVFI
from vsvfi.models.gimmvfi.spec import FAMILY

VARIANTS = ("gimmvfi_r", "gimmvfi_f")
PEAK = 1e-4


def padded(tensors: Mapping[str, Tensor], case: str, scale: Fraction) -> tuple[Padding, Tensor, Tensor]:
    """Return the padding of a case's images, and both padded images."""
    first, second = tensors[f"{case}/img0"], tensors[f"{case}/img1"]
    padding = Padding.of(
        FAMILY.build_config(first.shape[-1], first.shape[-2], scale, FAMILY.option_defaults),
        first.shape[-1],
        first.shape[-2],
    )
    return padding, padding.pad(first), padding.pad(second)


def build(shared: Path, variant: str, scale: Fraction) -> GIMMVFI:
    """Return a network with the stored weights, loaded as a user would load them."""
    model = loaded(variant, golden(shared, "gimmvfi", variant)[2])
    network = network_of(model, 64, 64, scale)
    assert isinstance(network, GIMMVFI)
    return network


def distinct(variant: str) -> dict[str, Any]:
    return dict(next(known for known in FAMILY.variants if known.name == variant).config)


@functools.cache
def seeded_state(variant: str = "gimmvfi_r") -> dict[str, Tensor]:
    """Return seeded weights under the published keys; needs no reference data."""
    with torch.device("meta"):
        network = GIMMVFI(**distinct(variant))
    return seeded({key: tensor.shape for key, tensor in network.state_dict().items()}, GAINS["gimmvfi"])


@functools.cache
def random_network() -> GIMMVFI:
    """Return one network for all tests, which must not modify it."""
    model = loaded("gimmvfi_r", seeded_state())
    network = network_of(model, 64, 64, Fraction(1))
    assert isinstance(network, GIMMVFI)
    return network


def random_images(count: int, size: tuple[int, int] = (64, 64), seed: int = 0) -> Tensor:
    """Return smooth images, [count, 1, 3, H, W]."""
    small = torch.rand(count, 3, size[0] // 8, size[1] // 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, scale_factor=8, mode="bicubic").clamp(0, 1)[:, None]


def published_form(state: dict[str, Tensor]) -> dict[str, object]:
    """Return the weights as in a checkpoint of the authors, with unused training state."""
    extra = {
        "g_filter": torch.ones(1, 1, 1, 3, 3),
        "flow_estimator.cnet.norm1.num_batches_tracked": torch.tensor(3),
        "flow_estimator.cnet.layer2.0.norm3.weight": torch.zeros(96),
        "flow_estimator.cnet.layer3.0.norm3.running_var": torch.zeros(128),
    }
    return {"state_dict": state | extra, "optimizer": {"state": {}}, "epoch": 7}


def with_time_and_place(latent: Tensor, t: float) -> Tensor:
    """Append t, y, x to a latent [1, 32, H, W], as [1, H, W, 35] (section 8)."""
    _, _, height, width = latent.shape
    y, x = (-1 + 2 * (torch.arange(length) + 0.5) / length for length in (height, width))
    place = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1)[None]
    return torch.cat((latent.permute(0, 2, 3, 1), torch.full((1, height, width, 1), t), place), -1)
