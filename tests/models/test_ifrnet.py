"""IFRNet against stored outputs and checkpoints of the published program, and properties of its specification."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import vsvfi
from tests.models.goldens import closeness, seeded_state
from vsvfi.engine.padding import Padding
from vsvfi.models.ifrnet.network import IFRNet, Pair
from vsvfi.models.ifrnet.spec import FAMILY
from vsvfi.ops.warp import backward_warp

CASES = ("base", "pad", "half", "half_pad", "snufilm", "double")
SIZES = ("ifrnet_s", "ifrnet", "ifrnet_l")
TOLERANCE = 1e-5  # a tenth of the stated tolerance; an independent implementation stays below 7e-6
assert_close = closeness(TOLERANCE, TOLERANCE)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("variant", SIZES)
def test_outputs_match_the_published_program(shared: Path, variant: str, case: str) -> None:
    facts = json.loads((shared / "goldens" / "ifrnet" / "cases.json").read_text())[variant][case]
    golden = load_file(shared / "goldens" / "ifrnet" / f"{variant}.safetensors")
    model = vsvfi.load_model(
        variant, weights=seeded_state(shared, "ifrnet", variant), device="cpu", scale=facts["scale"]
    )
    for t in facts["t"]:
        result = model(golden[f"{case}/img0"], golden[f"{case}/img1"], t)
        assert_close(f"{case} t={t}", result, golden[f"{case}/out_t{t}"])


@pytest.mark.parametrize("variant", SIZES)
def test_checkpoints_match_the_published_program(shared: Path, variant: str) -> None:
    golden = load_file(shared / "goldens" / "ifrnet" / f"{variant}.safetensors")
    for case in CASES:
        facts = json.loads((shared / "goldens" / "ifrnet" / "cases.json").read_text())[variant][case]
        found = intermediates(
            shared, variant, golden[f"{case}/img0"], golden[f"{case}/img1"], Fraction(str(facts["scale"]))
        )
        for name in facts["checkpoints"]:
            assert_close(f"{case}/{name}", found[name], golden[f"{case}/{name}"])


def intermediates(shared: Path, variant: str, first: Tensor, second: Tensor, scale: Fraction) -> dict[str, Tensor]:
    """Return every checkpoint of specification section 11, recorded by hooks or recomputed from the phases."""
    facts = next(known for known in FAMILY.variants if known.name == variant)
    network = IFRNet(**facts.config, scale=scale).eval()  # type: ignore[arg-type]
    network.load_state_dict(seeded_state(shared, "ifrnet", variant), strict=True)
    padding = Padding.of(
        FAMILY.build_config(first.shape[-1], first.shape[-2], scale, {}), first.shape[-1], first.shape[-2]
    )
    found: dict[str, Tensor] = {"padded0": padding.pad(first)}
    for level in (1, 2, 3, 4):
        decoder = network.get_submodule(f"decoder{level}.convblock.2")
        decoder.register_forward_hook(
            lambda module, inputs, output, level=level: found.update({f"out{level}": output.clone()})
        )
    network.decoder4.convblock.get_submodule("0.1").register_forward_hook(
        lambda module, inputs, output: found.update({"dec4_conv": output.clone()})
    )
    network.decoder4.convblock.get_submodule("1").register_forward_hook(
        lambda module, inputs, output: found.update({"dec4_res": output.clone()})
    )
    with torch.inference_mode():
        pair: Pair = network.prepare_pair(
            network.encode_frame(padding.pad(first)), network.encode_frame(padding.pad(second))
        )
        (coarse, _, _), (flow3, _, _), (flow2, _, _), (flow1, mask, residual) = network.estimate(
            pair, torch.tensor([0.5])
        )
        found["mean"] = pair.mean
        for level, features in enumerate(pair.first_features, 1):
            found[f"f0_{level}"], found[f"f1_{level}"] = features, pair.second_features[level - 1]
        both = network.encoder(torch.cat((pair.first, pair.second))) if scale == 1 else None
        if both is not None:
            found["f0_4"], found["f1_4"] = both[3][:1], both[3][1:]
        for level, entering in ((3, coarse), (2, flow3), (1, flow2)):
            found[f"f0_{level}_warp"] = backward_warp(pair.first_features[level - 1], entering[:, :2])
            found[f"f1_{level}_warp"] = backward_warp(pair.second_features[level - 1], entering[:, 2:])
        for level, flow in ((3, flow3), (2, flow2), (1, flow1)):
            found[f"flow0_{level}"], found[f"flow1_{level}"] = flow[:, :2], flow[:, 2:]
        found["mask"], found["res"] = mask, residual
        found["img0_warp"], found["img1_warp"] = (
            backward_warp(pair.first, flow1[:, :2]),
            backward_warp(pair.second, flow1[:, 2:]),
        )
        found["pred_raw"] = mask * found["img0_warp"] + (1 - mask) * found["img1_warp"] + pair.mean + residual
    return found


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("variant", SIZES)
def test_cuda_matches_too(shared: Path, variant: str) -> None:
    golden = load_file(shared / "goldens" / "ifrnet" / f"{variant}.safetensors")
    state = seeded_state(shared, "ifrnet", variant)
    images = (golden["base/img0"].cuda(), golden["base/img1"].cuda())
    exact = vsvfi.load_model(variant, weights=state, device="cuda", precision="fp32")(*images, 0.5).cpu()
    assert float((exact - golden["base/out_t0.5"]).norm() / golden["base/out_t0.5"].norm()) < 1e-4
    half = vsvfi.load_model(variant, weights=state, device="cuda", precision="fp16")(*images, 0.5).cpu()
    assert float((half - golden["base/out_t0.5"]).abs().mean()) < 5e-3
