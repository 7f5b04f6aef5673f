"""Results of the published programs: the folder, its cases and images, and their weights."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests import reference_data
from vsvfi.metrics.lpips import LpipsNetwork

FOLDER = reference_data.of("metrics")

needs_goldens = pytest.mark.skipif(
    not (FOLDER / "cases.json").is_file(),
    reason=reference_data.REASON,
)


@functools.cache
def cases() -> dict[str, Any]:
    """All cases by section; nothing where there is no folder."""
    file = FOLDER / "cases.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


@functools.cache
def _tensors() -> dict[str, Tensor]:
    return load_file(FOLDER / "metrics.safetensors")


def tensors(case: str) -> dict[str, Tensor]:
    """The stored tensors of a case, without its name."""
    return {name.removeprefix(f"{case}/"): tensor for name, tensor in _tensors().items() if name.startswith(f"{case}/")}


def manifest(name: str) -> dict[str, Tensor]:
    """Weights by a manifest of the folder and the seed that its case states."""
    seed = cases()["flolpips" if name == "pwcnet" else "lpips"]["seed"]
    entries = json.loads((FOLDER / f"{name}.weights.json").read_text(encoding="utf-8"))
    return seeded(entries, seed)


def section(name: str) -> Any:
    """One section of the cases; the test is skipped where the folder has none of that name."""
    found = cases().get(name)
    if found is None:
        pytest.skip(f"the reference data of the metrics have no section {name}")
    return found


def drawn(network: torch.nn.Module, gain: float = 1.0) -> dict[str, Tensor]:
    """Weights like a fresh network's, by name: the same in every process."""
    entries = {}
    for key, tensor in network.state_dict().items():
        shape = list(tensor.shape)
        deviation = gain * math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.02
        entries[key] = {"shape": shape, "mean": 0.0, "std": deviation}
    return seeded(entries, 7)


def drawn_lpips() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Such weights of AlexNet and of the heads."""
    features = {key: value for key, value in drawn(LpipsNetwork()).items() if key.startswith("features.")}
    widths = (64, 192, 384, 256, 256)
    return features, {f"lin{index}.model.1.weight": torch.full((1, n, 1, 1), 0.1) for index, n in enumerate(widths)}


def seeded(entries: Mapping[str, Mapping[str, Any]], seed: int) -> dict[str, Tensor]:
    """Uniform noise of each entry's mean and deviation, from the raw bits of a counter keyed by seed and name."""
    state = {}
    for key, entry in entries.items():
        shape = entry["shape"]
        counter = np.random.Philox(key=int.from_bytes(hashlib.sha256(f"{seed}/{key}".encode()).digest()[:8], "little"))
        bits = (counter.random_raw(int(np.prod(shape))) >> np.uint64(40)).astype(np.float32)
        noise = bits / np.float32(2**23) - np.float32(1)
        values = np.float32(entry["mean"]) + np.float32(entry["std"] * 3**0.5) * noise
        state[key] = torch.from_numpy(values.reshape(shape))
    return state
