"""Results of the published training programs: the folder, its cases, tensors and the inputs they were made of."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests import reference_data

FOLDER = reference_data.of("training")

PIXELS = ("charbonnier", "census_mean", "census_weighted", "ifrnet_reconstruction", "uprnet_total")
RATES = (
    *("lr_ifrnet", "lr_uprnet", "lr_vfimamba", "lr_sgm_xtrain"),
    *("lr_gimm_stage1", "lr_gimm_stage2", "lr_ldmvfi"),
)
STEPS = (
    *("step_ifrnet_s", "step_ifrnet_gopro_s", "step_uprnet_base", "step_gimm_stage1"),
    *("step_vfimamba_s_plain", "step_vfimamba_s_local", "step_gimmvfi_r", "step_gimmvfi_r_frozen"),
)
KINDS = (
    *PIXELS,
    *("laplacian", "vfimamba_total", "geometry", "ifrnet_distillation", "robust_penalty", "lpips_alex", "lpips_vgg"),
    *("vqfigan_loss", "codebook", "ddpm_loss", "gimm_stage2_plain", "gimm_stage2_perceptual"),
    *("augment", "ema_ldmvfi", "ema_gimm"),
    *RATES,
    *STEPS,
)
"""What the tests know how to compare; the cases of the folder decide what runs."""

needs_goldens = pytest.mark.skipif(
    not (FOLDER / "cases.json").is_file(),
    reason=reference_data.REASON,
)


@functools.cache
def _document() -> dict[str, Any]:
    file = FOLDER / "cases.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"cases": {}, "network_weights": {}}


def kind_of(name: str) -> str | None:
    """The kind of a case: its name, or what its name begins with, such as `step_ifrnet_s` of `step_ifrnet_s_seed_3`."""
    kinds = [kind for kind in KINDS if name == kind or name.startswith(f"{kind}_")]
    return max(kinds, key=len, default=None)


def names(*kinds: str) -> list[str]:
    """Names of the cases of these kinds, whatever their number; of all cases without any."""
    return [name for name in _document()["cases"] if not kinds or kind_of(name) in kinds]


def each(*kinds: str) -> pytest.MarkDecorator:
    """Run a test for the `name` of every case of these kinds; it is skipped where there is none."""
    return pytest.mark.parametrize("name", names(*kinds))


def case(name: str) -> Any:
    """A case."""
    return _document()["cases"][name]


@functools.cache
def _tensors() -> dict[str, Tensor]:
    return load_file(FOLDER / "training.safetensors")


def tensor(name: str) -> Tensor:
    """A stored tensor, by `case/name`."""
    return _tensors()[name]


def stored(name: str) -> bool:
    """Whether the tensor `case/name` is stored."""
    return name in _tensors()


def seeded(key: str, shape: Sequence[int], mean: float, std: float, seed: int) -> Tensor:
    """Uniform noise of the reference programs; depends on key, shape and seed only."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    bits = np.random.Philox(key=int.from_bytes(digest[:8], "little")).random_raw(int(np.prod(shape, dtype=np.int64)))
    unit = (bits >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)
    return torch.from_numpy((np.float32(mean) + np.float32(std * 3**0.5) * unit).reshape(shape))


@functools.cache
def _inputs() -> ModuleType:
    """Import the formulas of the inputs; the module that they import lies beside the usual folder alone."""
    noise_of = ModuleType("seeded_weights")
    vars(noise_of)["seeded_tensor"] = lambda key, shape, mean, std, seed=0: seeded(key, shape, mean, std, seed).numpy()
    spec = importlib.util.spec_from_file_location("training_golden_inputs", FOLDER / "inputs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, seeded_weights=noise_of):
        spec.loader.exec_module(module)
    return module


def input_checks() -> list[tuple[str, Tensor, dict[str, Any]]]:
    """Calls that the reference programs made for their inputs, the same input made here, and its stated sums."""
    made = []
    for words, expected in _document().get("input_checks", {}).items():
        call = ast.parse(words, mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name)
        values = [ast.literal_eval(argument) for argument in call.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
        made.append((words, torch.from_numpy(getattr(_inputs(), call.func.id)(*values, **named)), expected))
    return made


def image(name: str, shape: Sequence[int], time: float, seed: int) -> Tensor:
    """A moving texture of the reference data."""
    return torch.from_numpy(_inputs().picture(name, list(shape), time, seed))


def noise(name: str, shape: Sequence[int], std: float = 1.0, mean: float = 0.0, seed: int = 0) -> Tensor:
    """Noise of the reference data."""
    return torch.from_numpy(_inputs().noise(name, list(shape), std, mean, seed))


def smooth_flow(name: str, shape: Sequence[int], size: float, seed: int) -> Tensor:
    """A smooth field of the reference data."""
    return torch.from_numpy(_inputs().smooth_flow(name, list(shape), size, seed))


def network_weights(prefix: str, seed: int) -> dict[str, Tensor]:
    """Seeded weights of a training network, without the prefix of their keys."""
    return {
        key.removeprefix(f"{prefix}."): seeded(key, entry["shape"], entry["mean"], entry["std"], seed)
        for key, entry in _document()["network_weights"].items()
        if key.startswith(f"{prefix}.")
    }


def manifest(path: str, seed: int) -> dict[str, Tensor]:
    """Seeded weights of a family's network, by its manifest: beside the folder, or with the other reference data."""
    found = [root / path for root in (FOLDER.parent, reference_data.GOLDENS) if (root / path).is_file()]
    if not found:
        pytest.skip(f"{path} is neither beside {FOLDER} nor in {reference_data.GOLDENS}")
    entries = json.loads(found[0].read_text(encoding="utf-8"))
    return {
        key: seeded(key, entry["shape"], entry["mean"], entry["std"], seed)
        for key, entry in entries.items()
        if not entry.get("buffer")
    }


def near(actual: Tensor | float, expected: Tensor | float, relative: float) -> None:
    """Compare in L2, relative to the expected norm."""
    one, other = torch.as_tensor(actual).detach().double(), torch.as_tensor(expected).double()
    assert one.shape == other.shape
    distance, norm = float((one - other).norm()), float(other.norm())
    assert distance <= relative * norm + 1e-12, f"off by {distance / max(norm, 1e-30):.2e} of {norm:.6g}"
