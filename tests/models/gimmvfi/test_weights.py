"""Published files of GIMM-VFI, their licence, and the weights that stay float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.building import loaded, network_of
from tests.models.gimmvfi.pieces import published_form, seeded_state
from vsvfi.errors import ForeignWeightsError
from vsvfi.models.gimmvfi.spec import FAMILY
from vsvfi.weights.source import Hub


def test_published_and_converted_files_load(tmp_path: Path) -> None:
    state = seeded_state()
    torch.save(published_form(state), tmp_path / "model.pt")
    save_file({f"state_dict.{key}": tensor for key, tensor in state.items()}, tmp_path / "prefixed.safetensors")
    for file in ("model.pt", "prefixed.safetensors"):
        read = loaded("gimmvfi_r_p", tmp_path / file).state
        assert read.keys() == state.keys()
        assert all(torch.equal(read[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state | {"flow_estimator.strange": torch.zeros(1)}, r"unexpected: 'flow_estimator\.strange'"),
        (
            lambda state: {key: tensor for key, tensor in state.items() if not key.startswith("flow_estimator")},
            "missing: 'flow_estimator",
        ),
        (lambda state: state | {"alpha_v": torch.zeros(2)}, r"'alpha_v' is \[2\], must be \[1\]"),
    ],
)
def test_what_is_not_published_is_refused(change: Any, message: str) -> None:
    with pytest.raises(ForeignWeightsError, match=message):
        loaded("gimmvfi_r", change(dict(seeded_state())))


def test_the_model_of_motion_stays_in_float32() -> None:
    model = loaded("gimmvfi_r", dict(seeded_state()))
    network = network_of(model, 128, 128, dtype=torch.bfloat16)
    kinds = {key.partition(".")[0]: tensor.dtype for key, tensor in network.state_dict().items()}
    exact = {key for key, dtype in kinds.items() if dtype == torch.float32}
    assert exact == {"alpha_fe", "alpha_v", "cnn_encoder", "res_conv", "hyponet"}
    assert kinds["amt_final_decoder"] == kinds["flow_estimator"] == torch.bfloat16


def test_licence_and_sources() -> None:
    for variant in FAMILY.variants:
        assert "non-commercial" in variant.licence
        assert "non-commercial" in variant.licence_notice
        first = variant.sources[0]
        assert isinstance(first, Hub)
        assert first.repo == "GSean/GIMM-VFI"
        assert first.file.endswith("_lpips.pt") == variant.name.endswith("_p")
        assert len(variant.sources) == 1 + variant.name.endswith("_p")
