"""GIMM-VFI against the stored outputs and check-points of the published program, and against what the specification says beyond them."""

from __future__ import annotations

import copy
import functools
import json
import re
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import vsvfi
from tests.models.regression import GAINS, seeded
from vsvfi.engine.build import read_model
from vsvfi.engine.padding import Padding
from vsvfi.engine.session import Session
from vsvfi.errors import ArgumentError, ForeignWeightsError
from vsvfi.models.family import Timesteps
from vsvfi.models.flow.raft import RAFT
from vsvfi.models.gimmvfi.motion import encode_flows, flow_scale, splat_weights, splatted, used_latents
from vsvfi.models.gimmvfi.network import GIMMVFI
from vsvfi.models.gimmvfi.spec import FAMILY
from vsvfi.models.gimmvfi.strips import strips
from vsvfi.models.gimmvfi.synthesis import Branches
from vsvfi.models.interpolator import tensor_bytes
from vsvfi.models.registry import check_options
from vsvfi.ops.warp import resize_bilinear
from vsvfi.plan.timeline import Blend
from vsvfi.weights.source import Hub

VARIANTS = ("gimmvfi_r", "gimmvfi_f")
PEAK = 1e-4
NOT_USED = re.compile(r"flow_estimator\.(cnet\.layer[23]\.0\.norm3\.|.*\.svt\.norm\.|memory_decoder\.att\.pos_emb\.)")
ESTIMATOR = re.compile(r"base/(raft_|ctx_|ff_|img)")


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
    assert float(difference.norm() / reference.norm()) < norm, name
    assert float(difference.abs().max() / reference.abs().max()) < peak, name


def padded(tensors: Mapping[str, Tensor], case: str, scale: Fraction) -> tuple[Padding, Tensor, Tensor]:
    """How a case's images are padded, and both of them."""
    first, second = tensors[f"{case}/img0"], tensors[f"{case}/img1"]
    padding = Padding.of(FAMILY.setup(first.shape[-1], first.shape[-2], scale, FAMILY.option_defaults), first.shape[-1], first.shape[-2])
    return padding, padding.pad(first), padding.pad(second)


def build(shared: Path, variant: str, scale: Fraction) -> GIMMVFI:
    """A network with the stored weights, loaded as a user would load them."""
    blueprint = read_model(variant, golden(shared, variant)[2])
    network = blueprint.network(blueprint.setup(64, 64, scale, {}), torch.device("cpu"), torch.float32)
    assert isinstance(network, GIMMVFI)
    return network


def distinct(variant: str) -> dict[str, Any]:
    return dict(next(known for known in FAMILY.variants if known.name == variant).config)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_weights_are_the_published_ones_by_name_and_number(shared: Path, variant: str) -> None:
    manifest = json.loads((shared / "goldens" / "gimmvfi" / f"{variant}.weights.json").read_text())
    with torch.device("meta"):
        state = GIMMVFI(**distinct(variant)).state_dict()
    learned = {key: entry["shape"] for key, entry in manifest.items() if not entry.get("buffer") and not NOT_USED.match(key)}
    assert {key: list(tensor.shape) for key, tensor in state.items()} == learned
    for known in FAMILY.variants:
        if known.config == distinct(variant):
            assert known.parameters == sum(tensor.numel() for key, tensor in state.items() if "running" not in key)


@pytest.mark.parametrize("case", ["pad", "half", "small"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_match_the_published_program(shared: Path, variant: str, case: str) -> None:
    tensors, cases, _ = golden(shared, variant)
    facts = cases[case]
    scale = Fraction(facts["scale"])
    network, (padding, first, second) = build(shared, variant, scale), padded(tensors, case, scale)
    with torch.inference_mode():
        pair = network.prepare_pair(network.encode_frame(first), network.encode_frame(second))
        for t in facts["timesteps"]:
            assert_close(f"{case} t={t}", padding.crop(network.synthesise(pair, torch.tensor([t]))), tensors[f"{case}/out_t{t}"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_checkpoints_and_times_match_the_published_program(shared: Path, variant: str) -> None:
    """Case `base`. What production does not compute, the flow at every pixel, is computed here by the network's own parts."""
    tensors, cases, _ = golden(shared, variant)
    network, (_, first, second) = build(shared, variant, Fraction(1)), padded(tensors, "base", Fraction(1))
    calls: dict[str, tuple[Any, Any]] = {}
    for name in ("amt_update4_low", "amt_update4_high", "amt_final_decoder", "amt_comb_block"):
        network.get_submodule(name).register_forward_hook(lambda module, inputs, output, name=name: calls.__setitem__(name, (inputs, output)))
    with torch.inference_mode():
        pair = network.prepare_pair(network.encode_frame(first), network.encode_frame(second))
        outputs = {}
        for t in sorted(cases["base"]["timesteps"], key=lambda t: t == 0.5):  # 0.5 last: its calls are looked at
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
    stored = {key.removeprefix("base/"): tensor for key, tensor in tensors.items() if key.startswith("base/") and not ESTIMATOR.match(key)}
    assert {key.partition("_first")[0] for key in stored} <= found.keys()
    for key, reference in stored.items():
        name, _, count = key.partition("_first")
        result = found[name][:, : int(count)] if count else found[name]
        wide = name.startswith(("splat", "latent"))  # the root of a difference that cancels
        assert_close(f"{variant} {key}", result, reference, norm=1e-4 if wide else 2e-5, peak=1e-3 if wide else PEAK)
    assert_close("what production uses", used, resize_bilinear(stored["flow_t"], Fraction(1, 4)), norm=2e-5)


def with_time_and_place(latent: Tensor, t: float) -> Tensor:
    """[1, H, W, 35] from a latent [1, 32, H, W]: latent, t, y, x (section 8)."""
    _, _, height, width = latent.shape
    y, x = (-1 + 2 * (torch.arange(length) + 0.5) / length for length in (height, width))
    place = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1)[None]
    return torch.cat((latent.permute(0, 2, 3, 1), torch.full((1, height, width, 1), t), place), -1)


@functools.cache
def seeded_state(variant: str = "gimmvfi_r") -> dict[str, Tensor]:
    """Weights that do something, under the published keys; for a repository without reference data too."""
    with torch.device("meta"):
        network = GIMMVFI(**distinct(variant))
    return seeded({key: tensor.shape for key, tensor in network.state_dict().items()}, GAINS["gimmvfi"])


@functools.cache
def random_network() -> GIMMVFI:
    """With the same weights for every test; none may change it."""
    blueprint = read_model("gimmvfi_r", seeded_state())
    network = blueprint.network(blueprint.setup(64, 64, Fraction(1), {}), torch.device("cpu"), torch.float32)
    assert isinstance(network, GIMMVFI)
    return network


def images(count: int, size: tuple[int, int] = (64, 64), seed: int = 0) -> Tensor:
    """Smooth pictures, [count, 1, 3, H, W]."""
    small = torch.rand(count, 3, size[0] // 8, size[1] // 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, scale_factor=8, mode="bicubic").clamp(0, 1)[:, None]


def test_phases_are_the_forward_pass_bit_for_bit_leave_no_trace_and_end_at_the_frames() -> None:
    network, pictures, t = random_network(), images(3), torch.tensor([0.3])
    with torch.inference_mode():
        frames = [network.encode_frame(image) for image in pictures]
        pairs = [network.prepare_pair(frames[k], frames[k + 1]) for k in range(2)]
        made = network.synthesise(pairs[0], t)
        other = network.synthesise(pairs[1], t)
        assert torch.equal(made, network(pictures[0], pictures[1], t))
        assert torch.equal(made, network.synthesise(pairs[0], t))
        ends = network.synthesise(pairs[0], torch.tensor([0.0, 1.0]))
    assert torch.equal(ends, torch.cat((pictures[0], pictures[1])))
    assert float(made.std()) > 0.01
    assert float((made - other).abs().mean()) > 0.01


def test_several_times_of_one_pair_and_a_batch_of_pairs_equal_single_calls() -> None:
    network, pictures, t = random_network(), images(4), torch.tensor([0.25, 0.6])
    with torch.inference_mode():
        pair = network.prepare_pair(network.encode_frame(pictures[0]), network.encode_frame(pictures[1]))
        alone = [network.synthesise(pair, time) for time in t]
        torch.testing.assert_close(network.synthesise(pair, t), torch.cat(alone), rtol=0, atol=1e-4)
        together = network(torch.cat((pictures[2], pictures[0])), torch.cat((pictures[3], pictures[1])), t)
    torch.testing.assert_close(together[1:], alone[1], rtol=0, atol=1e-4)
    assert float((together[:1] - alone[0]).abs().mean()) > 0.01


def test_a_phase_holds_what_it_may_see() -> None:
    """Each frame is encoded once; the pair's part runs once whatever the number of times, and the mask head once for both directions."""
    network, pictures = random_network(), images(2)
    calls: list[str] = []
    hooks = [module.register_forward_hook(lambda module, inputs, output, name=name: calls.append(name)) for name, module in network.named_modules()]
    with torch.inference_mode():
        frame = network.encode_frame(pictures[0])
        assert {"flow_estimator.fnet", "flow_estimator.cnet", "amt_fproj", "amt_init_decoder.upsample.5", "amt_final_decoder.upsample.6"} <= set(calls)
        other = network.encode_frame(pictures[1])
        calls.clear()
        pair = network.prepare_pair(frame, other)
        assert {"cnn_encoder", "flow_estimator.update_block.gru"} <= set(calls)
        assert calls.count("flow_estimator.update_block.gru") == 20
        assert calls.count("flow_estimator.update_block.mask.2") == 1
        assert not any(name.startswith(("flow_estimator.fnet", "flow_estimator.cnet", "amt")) for name in calls)
        calls.clear()
        network.synthesise(pair, torch.tensor([0.5]))
        assert not any(name.startswith(("flow_estimator", "cnn_encoder")) or ".upsample" in name for name in calls)
    for hook in hooks:
        hook.remove()
    assert tensor_bytes(frame) > 0
    assert pair.first is frame


def test_playback_prepares_a_pair_once_for_all_times() -> None:
    pictures = images(3)
    session = Session(
        read_model("gimmvfi_r", seeded_state()), devices=[torch.device("cpu")], dtypes=[torch.float32], size=(64, 64), scale=Fraction(1), options={}
    )
    found: list[Tensor] = []
    try:
        for n in (1, 3, 5):
            first, t = divmod(Fraction(n, 3), 1)
            session.blend(n, Blend(first, first + 1, t), lambda index, into: into.copy_(pictures[index]), lambda image: found.append(image.clone()))  # type: ignore[arg-type, return-value]
        counts = session.statistics()
    finally:
        session.close()
    assert (counts["frames_encoded"], counts["pairs_prepared"], counts["syntheses"]) == (3, 2, 3)
    assert all(torch.isfinite(image).all() for image in found)


@pytest.mark.parametrize(("height", "halo", "rows"), [(64, 17, 100), (64, 17, 15), (128, 0, 40), (4, 9, 0), (96, 6, 33)])
def test_strips_cover_a_picture_and_hold_their_halos(height: int, halo: int, rows: int) -> None:
    made = list(strips(height, halo=halo, row_bytes=7, budget=7 * rows))
    assert [strip.begin for strip in made[1:]] == [strip.end for strip in made[:-1]]
    assert (made[0].begin, made[-1].end) == (0, height)
    for strip in made:
        assert strip.lower <= max(0, strip.begin - halo)
        assert strip.upper >= min(height, strip.end + halo)
        assert not any(bound % 4 for bound in (strip.begin, strip.end, strip.lower, strip.upper))
        assert strip.upper - strip.lower <= max(rows, 4 + 2 * (halo + 3)) or strip.end - strip.begin == 4
    assert (len(made) == 1) == (height <= max(rows, 4))


def test_strips_make_the_picture_that_the_whole_makes() -> None:
    """Every part that runs in strips; noise in all inputs, so that a halo too small by one row shows."""
    torch.manual_seed(0)
    network = random_network()
    decoder, height, width, whole = network.amt_final_decoder, 96, 8, 1 << 40
    quarter, flows, latents = torch.randn(1, 128, height // 4, width // 4), torch.randn(2, 2, height, width), list(torch.randn(4, 1, 16, height, width))
    features, pictures = tuple(torch.randn(2, 1, 64, height, width)), tuple(torch.randn(2, 1, 3, height, width))
    flow, mask = 3 * torch.randn(2, 4, height // 4, width // 4), torch.randn(2, 1, height // 4, width // 4)
    feature = torch.randn(2, 128, height // 4, width // 4)
    with torch.inference_mode():
        for part, row_bytes in (
            (lambda budget: decoder.features(quarter, budget), 4 * width * 3 * 64 * 4),
            (lambda budget: encode_flows(network.cnn_encoder, flows, budget), 4 * 32 * width * 2 * 4),
            (lambda budget: used_latents(network.res_conv, latents[:2], latents[2:], budget), 6 * 64 * width * 4),
            (lambda budget: torch.cat(list(vars_of(decoder(features, pictures, flow, mask, feature, budget))), 1), 2 * width * 1041 * 4),
        ):
            expected, found = part(whole), part(72 * row_bytes)
            assert found.shape == expected.shape
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def vars_of(branches: Branches) -> tuple[Tensor, ...]:
    return branches.forth, branches.back, branches.mask, branches.residual


def test_memory_is_shared_between_correlation_and_synthesis() -> None:
    with torch.device("meta"):
        network = GIMMVFI("raft", memory=100)
    assert (network.volumes, network.activations) == (25 << 20, 75 << 20)
    assert isinstance(network.flow_estimator, RAFT)
    assert network.flow_estimator.budget == network.volumes


def test_what_production_uses_is_the_quarter_of_the_flow_that_is_read() -> None:
    """The implicit network at every pixel, resized, against the used pixels alone."""
    torch.manual_seed(1)
    network, latents = random_network(), list(torch.randn(4, 1, 16, 32, 24))
    with torch.inference_mode():
        everywhere = network.res_conv(torch.cat(latents, 1)) + torch.cat(latents[2:], 1)
        flow = network.hyponet(with_time_and_place(everywhere, 0.3)).permute(0, 3, 1, 2)
        used = network.hyponet.at_used_pixels(used_latents(network.res_conv, latents[:2], latents[2:], 1 << 30), torch.tensor([0.3]))
    torch.testing.assert_close(used, resize_bilinear(flow, Fraction(1, 4)), rtol=1e-5, atol=1e-5)


def test_no_motion_at_all_is_no_division_by_zero() -> None:
    still = torch.zeros(1, 2, 8, 8)
    assert float(flow_scale(still, still)) > 0
    ones = torch.ones(1)
    assert torch.isfinite(splat_weights(still, still, ones, ones)).all()


def test_weights_of_splatting_fall_with_inconsistency_and_variance() -> None:
    """A flow that the other one takes back, alike everywhere, has the full weight of 2 but for the floor of the variance."""
    flow = torch.full((1, 2, 12, 12), 1.0)
    ones = torch.ones(1)
    assert splat_weights(flow, -flow, ones, ones)[..., 4:-4, 4:-4].min() > 1.99
    assert splat_weights(flow, flow, ones, ones)[..., 4:-4, 4:-4].max() == pytest.approx(1 + 1 / 3, abs=1e-3)
    rough = flow + torch.randn(1, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    assert splat_weights(rough, -rough, ones, 0 * ones).max() <= 2
    assert splat_weights(rough, -rough, 0 * ones, ones).max() < 1.9


@pytest.mark.parametrize(("size", "scale"), [((1, 1), 0.9), ((91, 130), 0.3)])
def test_any_size_and_any_scale(size: tuple[int, int], scale: float) -> None:
    model = vsvfi.load_model("gimmvfi_r", weights=seeded_state(), device="cpu", scale=scale)
    pictures = torch.rand(2, 3, *size)
    result = model(pictures[0], pictures[1], 0.3)
    assert result.shape == (3, *size)
    assert torch.isfinite(result).all()


def test_sizes_scales_and_times() -> None:
    assert [FAMILY.default_scale(*size) for size in ((1280, 720), (1920, 1080), (2048, 1080), (3840, 2160))] == [1, *[Fraction(1, 2)] * 2, Fraction(1, 4)]
    for scale, divisor in (("1", 32), ("3/4", 32), ("1/2", 32), ("1/4", 32), ("4/5", 10), ("1/8", 64), ("1/3", 24)):
        setup = FAMILY.setup(1000, 1000, Fraction(scale), FAMILY.option_defaults)
        assert setup.size_rule.divisors(Fraction(scale)) == (divisor, divisor)
        assert divisor * Fraction(scale) % 8 == 0
        for width in (1, 63, 65, 129, 1000):
            left, right, _, _ = setup.size_rule.padding(width, width, Fraction(scale))
            assert (width + left + right) * Fraction(scale) >= 64
            assert right - left in (0, 1)
    with pytest.raises(ArgumentError, match=r"scale=2\.0, must be above 0 and at most 1 for GIMM-VFI; use 1, 0\.5 for 2K"):
        FAMILY.setup(64, 64, Fraction(2), FAMILY.option_defaults)
    assert all(variant.timesteps is Timesteps.ANY for variant in FAMILY.variants)


@pytest.mark.parametrize("value", [True, -1, 1.5, "much"])
def test_options_are_checked(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"options\['memory'\]=.*must be a whole number of MiB, 0 or more"):
        check_options(FAMILY, {"memory": value})


def published_form(state: dict[str, Tensor]) -> dict[str, object]:
    """As a checkpoint of the authors holds it, with what a training leaves behind."""
    extra = {
        "g_filter": torch.ones(1, 1, 1, 3, 3),
        "flow_estimator.cnet.norm1.num_batches_tracked": torch.tensor(3),
        "flow_estimator.cnet.layer2.0.norm3.weight": torch.zeros(96),
        "flow_estimator.cnet.layer3.0.norm3.running_var": torch.zeros(128),
    }
    return {"state_dict": state | extra, "optimizer": {"state": {}}, "epoch": 7}


def test_published_and_converted_files_load(tmp_path: Path) -> None:
    state = seeded_state()
    torch.save(published_form(state), tmp_path / "model.pt")
    save_file({f"state_dict.{key}": tensor for key, tensor in state.items()}, tmp_path / "prefixed.safetensors")
    for file in ("model.pt", "prefixed.safetensors"):
        read = read_model("gimmvfi_r_p", tmp_path / file).state
        assert read.keys() == state.keys()
        assert all(torch.equal(read[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state | {"flow_estimator.strange": torch.zeros(1)}, r"unexpected: 'flow_estimator\.strange'"),
        (lambda state: {key: tensor for key, tensor in state.items() if not key.startswith("flow_estimator")}, "missing: 'flow_estimator"),
        (lambda state: state | {"alpha_v": torch.zeros(2)}, r"'alpha_v' is \[2\], must be \[1\]"),
    ],
)
def test_what_is_not_published_is_refused(change: Any, message: str) -> None:
    with pytest.raises(ForeignWeightsError, match=message):
        read_model("gimmvfi_r", change(dict(seeded_state())))


def test_the_model_of_motion_stays_in_float32() -> None:
    blueprint = read_model("gimmvfi_r", dict(seeded_state()))
    network = blueprint.network(blueprint.setup(128, 128, None, {}), torch.device("cpu"), torch.bfloat16)
    kinds = {key.partition(".")[0]: tensor.dtype for key, tensor in network.state_dict().items()}
    exact = {key for key, dtype in kinds.items() if dtype == torch.float32}
    assert exact == {"alpha_fe", "alpha_v", "cnn_encoder", "res_conv", "hyponet"}
    assert kinds["amt_final_decoder"] == kinds["flow_estimator"] == torch.bfloat16


def test_half_precision_is_near() -> None:
    """45 dB, the bound for half precisions."""
    network, pictures, t = random_network(), images(2), torch.tensor([0.4])
    rounded = copy.deepcopy(network)
    for name, weight in [*rounded.named_parameters(), *rounded.named_buffers()]:
        if not name.startswith(rounded.full_precision):
            weight.data = weight.data.bfloat16()
    with torch.inference_mode():
        assert float((rounded(*pictures, t) - network(*pictures, t)).square().mean()) < 10**-4.5


def test_licence_and_sources() -> None:
    for variant in FAMILY.variants:
        assert "non-commercial" in variant.licence
        assert "non-commercial" in variant.licence_notice
        first = variant.sources[0]
        assert isinstance(first, Hub)
        assert first.repo == "GSean/GIMM-VFI"
        assert first.file.endswith("_lpips.pt") == variant.name.endswith("_p")
        assert len(variant.sources) == 1 + variant.name.endswith("_p")


def test_operators_are_ready_before_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[tuple[str, torch.dtype]] = []
    monkeypatch.setattr("vsvfi.ops.splat.warm_up", lambda device, dtype: warmed.append(("splat", dtype)))
    monkeypatch.setattr("vsvfi.models.flow.raft.network.warm_up", lambda device, dtype: warmed.append(("lookup", dtype)))
    vsvfi.load_model("gimmvfi_r", weights=seeded_state(), device="cpu", precision="bf16")
    assert set(warmed) == {("splat", torch.float32), ("lookup", torch.bfloat16)}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("variant", VARIANTS)
def test_cuda_matches_too(shared: Path, variant: str) -> None:
    tensors, _, state = golden(shared, variant)
    pictures = (tensors["base/img0"].cuda(), tensors["base/img1"].cuda())
    exact = vsvfi.load_model(variant, weights=state, device="cuda", precision="fp32")(*pictures, 0.25).cpu()
    assert_close("cuda", exact, tensors["base/out_t0.25"], norm=1e-4, peak=1e-3)
    half = vsvfi.load_model(variant, weights=state, device="cuda", precision="fp16")(*pictures, 0.25).cpu()
    assert float((half - tensors["base/out_t0.25"]).square().mean()) < 10**-4.5
