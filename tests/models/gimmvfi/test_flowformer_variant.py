"""GIMM-VFI with FlowFormer: tests beyond those shared by both estimators (phases, files, memory)."""

from __future__ import annotations

import functools
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import vsvfi
from tests.building import loaded, network_of
from tests.models.gimmvfi.pieces import published_form, random_images, seeded_state
from tests.models.gimmvfi.test_memory import PUBLISHED, documented, peak
from vsvfi.errors import ForeignWeightsError
from vsvfi.models.flow.flowformer import FlowFormer
from vsvfi.models.gimmvfi.network import GIMMVFI
from vsvfi.models.gimmvfi.spec import FAMILY
from vsvfi.ops.lookup.op import LOOKUP
from vsvfi.ops.probe import Backend
from vsvfi.weights.source import Hub


@functools.cache
def network() -> GIMMVFI:
    """Return one network for all tests, which must not modify it."""
    model = loaded("gimmvfi_f", seeded_state("gimmvfi_f"))
    built = network_of(model, 64, 64, Fraction(1))
    assert isinstance(built, GIMMVFI)
    assert isinstance(built.flow_estimator, FlowFormer)
    return built


def test_a_phase_holds_what_it_may_see() -> None:
    """Preparing a pair runs no image encoder, a timestep no estimator; the mask head runs once for both directions."""
    built, images, t = network(), random_images(2), torch.tensor([0.3])
    calls: list[str] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output, name=name: calls.append(name))
        for name, module in built.named_modules()
    ]
    with torch.inference_mode():
        frames = [built.encode_frame(image) for image in images]
        assert (
            calls.count("flow_estimator.context_encoder")
            == calls.count("flow_estimator.memory_encoder.feat_encoder")
            == 2
        )
        calls.clear()
        pair = built.prepare_pair(*frames)
        assert calls.count("flow_estimator.memory_decoder.update_block.gru") == 32
        assert calls.count("flow_estimator.memory_decoder.update_block.mask") == 1
        assert not any(".svt" in name or name.endswith("context_proj") or name.startswith("amt") for name in calls)
        calls.clear()
        built.synthesise(pair, t)
        assert not any(name.startswith(("flow_estimator", "cnn_encoder")) or ".upsample" in name for name in calls)
    for hook in hooks:
        hook.remove()


def test_a_size_that_fills_no_window_and_no_reduction() -> None:
    """91x130 at 3/5: the estimator's images are 72x96, so there are 9x12 source pixels."""
    model = vsvfi.load_model("gimmvfi_f", weights=seeded_state("gimmvfi_f"), device="cpu", scale=0.6)
    result = model(torch.rand(3, 91, 130), torch.rand(3, 91, 130), 0.3)
    assert result.shape == (3, 91, 130)
    assert torch.isfinite(result).all()


LEFT_OVER = {
    "flow_estimator.memory_encoder.feat_encoder.svt.norm.weight": torch.zeros(1024),
    "flow_estimator.context_encoder.svt.norm.bias": torch.zeros(1024),
    "flow_estimator.memory_decoder.att.pos_emb.rel_ind": torch.zeros(160, 160, dtype=torch.int64),
    "flow_estimator.memory_decoder.att.pos_emb.rel_height.weight": torch.zeros(319, 128),
}


def test_published_files_load_and_what_is_not_published_is_refused(tmp_path: Path) -> None:
    """Unused weights are ignored in both file formats; any other unknown weight is an error."""
    state = seeded_state("gimmvfi_f")
    torch.save(published_form(state | LEFT_OVER), tmp_path / "model.pt")
    save_file(state | LEFT_OVER, tmp_path / "model.safetensors")
    for file in ("model.pt", "model.safetensors"):
        read = loaded("gimmvfi_f_p", tmp_path / file).state
        assert read.keys() == state.keys()
        assert all(torch.equal(read[key], state[key]) for key in state)
    with pytest.raises(ForeignWeightsError, match=r"unexpected: 'flow_estimator\.memory_decoder\.att\.strange'"):
        loaded("gimmvfi_f", state | {"flow_estimator.memory_decoder.att.strange": torch.zeros(1)})
    with pytest.raises(ForeignWeightsError, match=r"missing: .*fnet"):
        loaded("gimmvfi_r", state)


def test_sources_and_digests() -> None:
    digests = {
        "gimmvfi_f": "e0ad627ea021b4234cd8ce33341d27abd505310b7d380e4c6cfbc8909f993a2e",
        "gimmvfi_f_p": "f2d52a1424d857a921e56fb82d9312ec27d58bbcbd58a7c3534593b9e6157858",
    }
    for variant in FAMILY.variants:
        if variant.name in digests:
            first = variant.sources[0]
            assert isinstance(first, Hub)
            assert first.sha256 == digests.pop(variant.name)
            assert first.file == ("gimmvfi_f_arb_lpips.pt" if variant.name.endswith("_p") else "gimmvfi_f_arb.pt")
    assert not digests


def test_operators_are_ready_before_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cost lookup is prepared for float32, the family's own correlation for the type of the weights."""
    warmed: list[tuple[str, torch.dtype]] = []
    for place in ("flow.flowformer", "gimmvfi"):
        monkeypatch.setattr(
            f"vsvfi.models.{place}.network.warm_up", lambda device, dtype, place=place: warmed.append((place, dtype))
        )
    vsvfi.load_model("gimmvfi_f", weights=seeded_state("gimmvfi_f"), device="cpu", precision="bf16")
    assert sorted(warmed, key=str) == [("flow.flowformer", torch.float32), ("gimmvfi", torch.bfloat16)]


@pytest.mark.parametrize(("size", "scale"), [("2048x1080", "0.5"), ("4096x2160", "0.25")])
@pytest.mark.parametrize("precision", [torch.float32, torch.float16], ids=["fp32", "fp16"])
def test_peak_memory_is_what_the_readme_says_and_below_the_published(
    size: str, scale: str, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything but the flow itself, whose peak is lower at this size (tests/models/flow/test_flowformer.py)."""
    half = precision == torch.float16
    monkeypatch.setattr(LOOKUP, "choice", lambda device: Backend("cupy", True, "as on a GPU"))
    monkeypatch.setattr(
        FlowFormer,
        "estimate",
        lambda self, first, second: tuple(torch.empty(1, 2, 544, 1024, device="cuda:0") for _ in range(2)),
    )
    found = peak("flowformer", size, Fraction(scale), precision)
    assert (1300 if half else 1800) < found < PUBLISHED[size] / (2 if half else 1)
    assert found == pytest.approx(documented()[size, scale][2 + half], rel=0.02)
