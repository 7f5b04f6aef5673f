"""GIMM-VFI with both estimators against stored outputs and checkpoints of the published program."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

import vsvfi
from tests.models.gimmvfi.pieces import PEAK, VARIANTS, build, padded, with_time_and_place
from tests.models.goldens import closeness, golden
from vsvfi.models.gimmvfi.motion import splatted
from vsvfi.ops.warp import resize_bilinear

ESTIMATOR = re.compile(r"base/(raft_|ctx_|ff_|img)")


@pytest.mark.parametrize("case", ["pad", "half", "small"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_match_the_published_program(shared: Path, variant: str, case: str) -> None:
    tensors, cases, _ = golden(shared, "gimmvfi", variant)
    facts = cases[case]
    scale = Fraction(facts["scale"])
    network, (padding, first, second) = build(shared, variant, scale), padded(tensors, case, scale)
    with torch.inference_mode():
        pair = network.prepare_pair(network.encode_frame(first), network.encode_frame(second))
        for t in facts["timesteps"]:
            closeness(1e-5, PEAK)(
                f"{case} t={t}", padding.crop(network.synthesise(pair, torch.tensor([t]))), tensors[f"{case}/out_t{t}"]
            )


@pytest.mark.parametrize("variant", VARIANTS)
def test_checkpoints_and_times_match_the_published_program(shared: Path, variant: str) -> None:
    """Case `base`; the flow at every pixel, which inference skips, is computed from the network's own parts."""
    tensors, cases, _ = golden(shared, "gimmvfi", variant)
    network, (_, first, second) = build(shared, variant, Fraction(1)), padded(tensors, "base", Fraction(1))
    calls: dict[str, tuple[Any, Any]] = {}
    for name in ("amt_update4_low", "amt_update4_high", "amt_final_decoder", "amt_comb_block"):
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: calls.__setitem__(name, (inputs, output))
        )
    with torch.inference_mode():
        pair = network.prepare_pair(network.encode_frame(first), network.encode_frame(second))
        outputs = {}
        for t in sorted(cases["base"]["timesteps"], key=lambda t: t == 0.5):  # 0.5 last: the checks below use its calls
            outputs[f"out_t{t}"] = network.synthesise(pair, torch.tensor([t]))
        half = torch.full((1, 1, 1, 1), 0.5)
        carried = splatted(pair.latents, pair.flows, pair.weights, half)
        refined = network.res_conv(torch.cat((*pair.latents, *carried), 1))
        normalised = network.hyponet(with_time_and_place(refined + torch.cat(carried, 1), 0.5)).permute(0, 3, 1, 2)
        flow_t = (2 * normalised - 1) * pair.scale
        initial, mask, feature = network.start(pair, half)
        (_, low_flow, _), (low_feature, low_step) = calls["amt_update4_low"]
        (_, high_flow, _), (high_feature, high_step) = calls["amt_update4_high"]
        branches = calls["amt_final_decoder"][1]
        found = outputs | {
            "flow01": pair.flows[0],
            "flow10": pair.flows[1],
            "flow_scale": pair.scale.flatten(),
            "splat_w0": pair.weights[0],
            "splat_w1": pair.weights[1],
            "latent0": pair.latents[0],
            "latent1": pair.latents[1],
            "splat0": carried[0],
            "splat1": carried[1],
            "latent_refine": refined,
            "norm_flow_t": normalised,
            "flow_t": flow_t,
            "init_up0": pair.first.quarter,
            "init_flow_t0": initial[:, :2],
            "init_flow_t1": initial[:, 2:],
            "init_mask_feat": torch.cat((mask, feature), 1),
            "low_flow_in": low_flow,
            "low_corr_in": network.correlated(pair, half, low_flow),
            "low_dfeat": resize_bilinear(low_feature, Fraction(2)),
            "low_dflow": 2 * resize_bilinear(low_step, Fraction(2)),
            "high_flow_in": high_flow,
            "high_dfeat": high_feature,
            "high_dflow": high_step,
            "final_up0": pair.first.full,
            "final_flow_t0": branches.forth,
            "final_flow_t1": branches.back,
            "final_mask": branches.mask,
            "final_res": branches.residual,
            "comb_res": calls["amt_comb_block"][1],
        }
        used = network.motion(pair, half)
    stored = {
        key.removeprefix("base/"): tensor
        for key, tensor in tensors.items()
        if key.startswith("base/") and not ESTIMATOR.match(key)
    }
    assert {key.partition("_first")[0] for key in stored} <= found.keys()
    for key, reference in stored.items():
        name, _, count = key.partition("_first")
        result = found[name][:, : int(count)] if count else found[name]
        wide = name.startswith(("splat", "latent"))  # the square root of a difference with cancellation
        closeness(1e-4 if wide else 2e-5, 1e-3 if wide else PEAK)(f"{variant} {key}", result, reference)
    closeness(2e-5, PEAK)("what production uses", used, resize_bilinear(stored["flow_t"], Fraction(1, 4)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("variant", VARIANTS)
def test_cuda_matches_too(shared: Path, variant: str) -> None:
    tensors, _, state = golden(shared, "gimmvfi", variant)
    images = (tensors["base/img0"].cuda(), tensors["base/img1"].cuda())
    exact = vsvfi.load_model(variant, weights=state, device="cuda", precision="fp32")(*images, 0.25).cpu()
    closeness(1e-4, 1e-3)("cuda", exact, tensors["base/out_t0.25"])
    half = vsvfi.load_model(variant, weights=state, device="cuda", precision="fp16")(*images, 0.25).cpu()
    assert float((half - tensors["base/out_t0.25"]).square().mean()) < 10**-4.5
