"""GIMM-VFI against the stored outputs and check-points of the published program, and against what the specification says beyond them."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import vsvfi

VARIANTS = ("gimmvfi_r", "gimmvfi_f")
PEAK = 1e-4


@functools.cache
def golden(shared: Path, variant: str) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Tensor]]:
    """Stored tensors, the facts of the cases, and weights under the published key names."""
    folder = shared / "goldens"
    sys.path.insert(0, str(folder))
    try:
        import seeded_weights
    finally:
        sys.path.pop(0)
    state = {key: torch.from_numpy(array) for key, array in seeded_weights.load(folder / "gimmvfi" / f"{variant}.weights.json").items()}
    return load_file(folder / "gimmvfi" / f"{variant}.safetensors"), json.loads((folder / "gimmvfi" / "cases.json").read_text())[variant], state


def assert_close(name: str, result: Tensor, reference: Tensor, norm: float = 1e-5, peak: float = PEAK) -> None:
    """Relative errors in the L2 norm and in the maximum."""
    assert result.shape == reference.shape, name
    difference = result - reference
    print(name, float(difference.norm() / reference.norm()), float(difference.abs().max() / reference.abs().max()))
    assert float(difference.norm() / reference.norm()) < norm, name
    assert float(difference.abs().max() / reference.abs().max()) < peak, name


@pytest.mark.parametrize("case", ["base", "pad", "half", "small"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_match_the_published_program(shared: Path, variant: str, case: str) -> None:
    tensors, cases, state = golden(shared, variant)
    facts = cases[case]
    model = vsvfi.load_model(variant, weights=state, device="cpu", scale=facts["scale"])
    for t in facts["timesteps"]:
        assert_close(f"{case} t={t}", model(tensors[f"{case}/img0"], tensors[f"{case}/img1"], t), tensors[f"{case}/out_t{t}"])
