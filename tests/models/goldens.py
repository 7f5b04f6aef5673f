"""Reference data of the published programs: stored tensors, case metadata, weights and tolerances."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor


def recipe(shared: Path) -> ModuleType:
    """Load the program that generates weights from a seed."""
    sys.path.insert(0, str(shared / "goldens"))
    try:
        return importlib.import_module("seeded_weights")
    finally:
        sys.path.pop(0)


def seeded_state(shared: Path, family: str, variant: str) -> dict[str, Tensor]:
    """Return deterministic weights under the published keys."""
    arrays = recipe(shared).load(shared / "goldens" / family / f"{variant}.weights.json")
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


@functools.cache
def golden(shared: Path, family: str, variant: str) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Tensor]]:
    """Return stored tensors, case metadata and weights, which are shared and must not be modified."""
    folder = shared / "goldens" / family
    cases = json.loads((folder / "cases.json").read_text())
    return (
        load_file(folder / f"{variant}.safetensors"),
        cases.get("variants", cases)[variant],
        seeded_state(shared, family, variant),
    )


def of_case(tensors: dict[str, Tensor], case: str) -> dict[str, Tensor]:
    """Return the stored tensors of one case, without its prefix."""
    return {name.removeprefix(f"{case}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{case}/")}


def closeness(norm: float, peak: float) -> Callable[[str, Tensor, Tensor], None]:
    """Return a check of relative errors, as the specifications define them, in the L2 norm and in the maximum.

    References that are all zero must match exactly.
    """

    def assert_close(name: str, result: Tensor, reference: Tensor) -> None:
        assert result.shape == reference.shape, name
        difference = (result - reference).abs()
        assert float(difference.norm()) <= norm * float(reference.norm()), name
        assert float(difference.max()) <= peak * float(reference.abs().max()), name

    return assert_close
