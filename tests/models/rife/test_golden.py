"""RIFE against stored outputs and checkpoints of the published program."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import vsvfi
from tests.building import EXACT, build_config, loaded
from tests.models.goldens import closeness, golden, of_case
from tests.models.rife.pieces import OWN, observed
from tests.models.rife.plain import Plain
from vsvfi.engine.padding import Padding
from vsvfi.models.rife.network import IFNet
from vsvfi.models.rife.spec import adapt

CASES = {
    "rife40": ("base", "fallback"),
    "rife46": ("base", "pad", "half", "double", "ensemble"),
    "rife425": ("base", "half", "pad"),
    "rife425_lite": ("base", "pad"),
    "rife426": ("pad", "double"),
    "rife426_heavy": ("base",),
}
ALL = [(variant, case) for variant, cases in CASES.items() for case in cases]
assert_close = closeness(1e-5, 4e-5)  # a tenth of the stated tolerance; peaks of other correct programs reach 3e-5


def given(shared: Path, variant: str, case: str) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Tensor]]:
    """Return the stored tensors of a case with its frames, its metadata and the weights."""
    tensors, facts, state = golden(shared, "rife", variant)
    return of_case(tensors, facts[case].get("inputs", case)) | of_case(tensors, case), facts[case], state


@pytest.mark.parametrize(("variant", "case"), ALL)
def test_outputs_match_the_published_program(shared: Path, variant: str, case: str) -> None:
    stored, facts, state = given(shared, variant, case)
    options = {"ensemble": True} if facts.get("ensemble") else {}
    model = vsvfi.load_model(
        variant, weights=state, device="cpu", precision="fp32", scale=facts["scale"], options=options
    )
    for t in facts["t"]:
        assert_close(f"t={t}", model(stored["img0"], stored["img1"], t), stored[f"out_t{t}"])


def test_every_stored_case_is_held(shared: Path) -> None:
    for variant, cases in CASES.items():
        assert set(golden(shared, "rife", variant)[1]) == set(cases)


@pytest.mark.parametrize(("variant", "case"), ALL)
def test_checkpoints_match_the_published_program(shared: Path, variant: str, case: str) -> None:
    """Tests the network as it is used, with folded weights; unused channels are not computed."""
    stored, facts, state = given(shared, variant, case)
    model = loaded(variant, state)
    build = build_config(
        model, facts["width"], facts["height"], Fraction(facts["scale"]), {"ensemble": bool(facts.get("ensemble"))}
    )
    left, right, top, bottom = build.size_rule.padding(facts["width"], facts["height"], build.scale)
    assert [left, top, right, bottom] == facts["pad_ltrb"]
    network = model.network(build, EXACT)
    assert isinstance(network, IFNet)
    padding = Padding.of(build, facts["width"], facts["height"])
    times = torch.tensor([facts["checkpoints_t"]])
    with torch.inference_mode(), observed() as found:
        first, second = (network.encode_frame(padding.pad(stored[name])) for name in ("img0", "img1"))
        pair = network.prepare_pair(first, second)
        estimate = network.estimate(pair, times)
        found |= {"head0": first.packed[:, 3:], "flow": estimate.flow, "mask": network.mask(estimate)}
    for name in facts["checkpoints"]:
        made = found[name]
        reference = stored[name][:, : made.shape[1]] if name.startswith("out") else stored[name]
        assert_close(name, made, reference)


@pytest.mark.parametrize(("variant", "case"), [pair for pair in ALL if pair[1] != "pad"])
def test_the_plain_form_matches_too(shared: Path, variant: str, case: str) -> None:
    """Tests the literal implementation, which computes all channels."""
    stored, facts, state = given(shared, variant, case)
    own = adapt(state, ())
    plain = Plain(OWN[variant], own, Fraction(facts["scale"]), bool(facts.get("ensemble")))
    for t in facts["t"]:
        assert_close(f"t={t}", plain(stored["img0"], stored["img1"], t), stored[f"out_t{t}"])
    plain(stored["img0"], stored["img1"], facts["checkpoints_t"])
    for name in facts["checkpoints"]:
        assert_close(name, plain.found[name], stored[name])
    assert ("fallback" in plain.found) == (case == "fallback")


def test_a_flow_in_half_precision_would_be_seen(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outputs hardly change, but the checkpoints do."""
    refine = IFNet._refine

    def rounded(self: IFNet, *arguments: Any) -> Any:
        found = refine(self, *arguments)
        return replace(found, flow=found.flow.half().float())

    monkeypatch.setattr(IFNet, "_refine", rounded)
    with pytest.raises(AssertionError, match=r"x[12]"):
        test_checkpoints_match_the_published_program(shared, "rife46", "base")
