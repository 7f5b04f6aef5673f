"""Fixtures for LDMVFI: the published size, built once for the stored cases, and a small network for other tests."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.building import loaded
from tests.models.goldens import recipe
from tests.models.ldmvfi.pieces import SMALL, Stored
from tests.models.regression import seeded
from vsvfi.engine import build, model_config
from vsvfi.engine.build import LoadedModel
from vsvfi.models.ldmvfi.spec import FAMILY


@pytest.fixture(scope="module")
def stored(shared: Path) -> Stored:
    folder = shared / "goldens"
    drawn = recipe(shared).seeded_tensor
    manifest = json.loads((folder / "ldmvfi" / "ldmvfi.weights.json").read_text())
    needed = [key for key, entry in manifest.items() if not entry.get("buffer") and ".out_conv." not in key]

    def tensor(key: str) -> Tensor:
        entry = manifest[key]
        return torch.from_numpy(drawn(key, entry["shape"], entry["mean"], entry["std"]))

    with ThreadPoolExecutor(2) as threads:
        state = dict(zip(needed, threads.map(tensor, needed), strict=True))
    model = loaded("ldmvfi", state)
    del state
    return Stored(
        load_file(folder / "ldmvfi" / "ldmvfi.safetensors"),
        json.loads((folder / "ldmvfi" / "cases.json").read_text())["ldmvfi"],
        model,
    )


@pytest.fixture(scope="module")
def small() -> LoadedModel:
    """A small network whose weights depend on their names only."""
    network = build.construct(FAMILY, SMALL.variant, FAMILY.build_config(256, 256, Fraction(1), FAMILY.option_defaults))
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    return dataclasses.replace(SMALL, state={key: build.own(tensor) for key, tensor in seeded(shapes).items()})


@pytest.fixture
def small_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `ldmvfi` the small network."""
    monkeypatch.setattr(model_config, "find", lambda name: (FAMILY, SMALL.variant))
