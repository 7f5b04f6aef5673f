"""Reference outputs of our own, for clones without the shared reference data.

Inputs are seeded weights and procedural frames; the stored references are the output images.

`python -m tests.models.regression [family ...]` regenerates them; run it only if the goldens match.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.building import model_of
from vsvfi.engine.build import LoadedModel, construct, own
from vsvfi.models.family import Family
from vsvfi.models.registry import families

FOLDER = Path(__file__).with_name("regression")
HEIGHT, WIDTH = 50, 70
CASES = {"": ((0.5, 1.0), (0.25, 1.0), (0.5, 0.5)), "ldmvfi": ((0.5, 1.0),)}
"""(t, scale) of every stored image, by family."""

SMALLER = {"ldmvfi": {"width": 32, "features": 32}}
"""Smaller configurations for published ones that are too large for this."""

OPTIONS = {"ldmvfi": {"steps": 2}}


GAINS = {"gimmvfi": 0.6, "rife": 0.6}
"""Factors on convolution weights, for families whose recurrences diverge with those of a fresh network."""


FAINT = {"flow_estimator.memory_decoder.update_block.flow_head.conv2.weight": 0.02}
"""Factors on single weights: without them, FlowFormer's 32 updates drive the flow out of the image."""


def seeded(shapes: Mapping[str, torch.Size], gain: float = 1.0) -> dict[str, Tensor]:
    """Return weights that depend on their names only: uniform bits of SHAKE-256, scaled like a fresh network's."""
    state = {}
    for key, shape in shapes.items():
        count = int(np.prod(shape, dtype=np.int64))
        bits = np.frombuffer(hashlib.shake_256(key.encode()).digest(2 * count), dtype="<u2")
        uniform = bits.astype(np.float32) / np.float32(32768) - np.float32(1)
        fan_in = int(np.prod(shape[1:], dtype=np.int64)) if len(shape) > 1 else 0
        stem, _, last = key.rpartition(".")
        # Variances are positive, and gains near one
        stored_norm = f"{stem}.running_var" in shapes and last in (
            "weight",
            "running_var",
        )
        centre = 1.0 if stored_norm else 0.25 if "prelu" in key or ".1.weight" in key else 0.0
        scaled = (
            uniform * np.float32(FAINT.get(key, 1.0) * gain * (6 / fan_in) ** 0.5)
            if fan_in
            else uniform * np.float32(0.2) + np.float32(centre)
        )
        state[key] = torch.from_numpy(scaled.reshape(tuple(shape)))
    return state


def frames() -> tuple[Tensor, Tensor]:
    """Return two images of a drifting interference pattern."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    images = []
    for shift in (0.0, 3.0):
        planes = [
            0.5 + 0.25 * np.sin((columns - shift) / (3 + plane)) + 0.2 * np.cos((rows + shift / 2) / (4 + plane))
            for plane in range(3)
        ]
        images.append(torch.from_numpy(np.stack(planes).astype(np.float32))[None])
    return images[0], images[1]


def outputs(family: Family) -> dict[str, Tensor]:
    """Return the output of every distinct network of a family."""
    found: dict[str, Tensor] = {}
    known: list[object] = []
    first, second = frames()
    for variant in family.variants:
        if variant.config in known:
            continue
        known.append(variant.config)
        built = dataclasses.replace(variant, config=SMALLER.get(family.name, variant.config))
        network = construct(
            family,
            built,
            family.build_config(WIDTH, HEIGHT, family.default_scale(WIDTH, HEIGHT), dict(family.option_defaults)),
        )
        state = seeded({key: tensor.shape for key, tensor in network.state_dict().items()}, GAINS.get(family.name, 1.0))
        built = family.recognise(built, state)  # without a search, whose decisions may differ from machine to machine
        weighted = LoadedModel(family, built, {key: own(tensor) for key, tensor in state.items()})
        for t, scale in CASES.get(family.name, CASES[""]):
            model = model_of(weighted, Fraction(scale), OPTIONS.get(family.name))
            found[f"{variant.name}/t={t}/scale={scale}"] = model(first, second, t)
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for known_family in families():
        if sys.argv[1:] and known_family.name not in sys.argv[1:]:
            continue
        save_file(outputs(known_family), FOLDER / f"{known_family.name}.safetensors")
