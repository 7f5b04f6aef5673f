"""VFIMamba against stored outputs and checkpoints of the published program, and properties of its specification."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import vsvfi
from tests import building
from tests.building import session_of
from tests.models.goldens import closeness, golden
from vsvfi.engine.model import Model
from vsvfi.engine.padding import Padding
from vsvfi.errors import ArgumentError, ForeignWeightsError
from vsvfi.models.family import Timesteps
from vsvfi.models.interpolator import tensor_bytes
from vsvfi.models.registry import check_options
from vsvfi.models.vfimamba import network as network_module
from vsvfi.models.vfimamba.network import VFIMamba
from vsvfi.models.vfimamba.spec import FAMILY
from vsvfi.models.vfimamba.ssm import MixedBlock, interleaved_paths
from vsvfi.ops.scan import scan
from vsvfi.ops.warp import backward_warp
from vsvfi.plan.timeline import Interpolate

SIZES = ("vfimamba_s", "vfimamba")
NORM, PEAK = 1e-5, 1e-4  # the specification's tolerances; 3e-6 and 4e-5 are reached
CASES = {
    "vfimamba_s": ("base", "scan", "pad", "times", "nolocal", "tta", "scale0.5", "scale0.25", "hr0.5", "scale0.5_pad"),
    "vfimamba": ("base", "scan", "pad", "times", "tta", "scale0.5", "scale0.5_pad"),
}
OPTIONS = {"tta": False, "local": True, "hr": False}
assert_close = closeness(NORM, PEAK)


def options_of(facts: Mapping[str, Any]) -> dict[str, object]:
    return {"tta": facts["tta"], "local": facts["local"], "hr": facts["mode"] == "hr"}


@functools.lru_cache(maxsize=1)
def loaded(shared: Path, variant: str, scale: float, options: str) -> Model:
    """Load the model of a case; consecutive cases share it."""
    return vsvfi.load_model(
        variant, weights=golden(shared, "vfimamba", variant)[2], device="cpu", scale=scale, options=json.loads(options)
    )


@pytest.mark.parametrize(("variant", "case"), [(variant, case) for variant in SIZES for case in CASES[variant]])
def test_outputs_match_the_published_program(shared: Path, variant: str, case: str) -> None:
    tensors, cases, _ = golden(shared, "vfimamba", variant)
    outputs = cases[case]["outputs"]
    (scale,) = {facts["scale"] for facts in outputs.values()}
    (options,) = {json.dumps(options_of(facts)) for facts in outputs.values()}
    model = loaded(shared, variant, scale, options)
    for name, facts in outputs.items():
        assert_close(
            f"{case} {name}",
            model(tensors[f"{case}/img0"], tensors[f"{case}/img1"], facts["t"]),
            tensors[f"{case}/{name}"],
        )


def playback(
    state: Mapping[str, Tensor], images: tuple[Tensor, Tensor], at: list[Fraction], **options: object
) -> tuple[list[Tensor], dict[str, int]]:
    """Return a session's frames for a clip of two frames, and its counters."""
    height, width = images[0].shape[-2:]
    session = session_of(building.loaded("vfimamba_s", state), (width, height), Fraction(1), options)
    found: list[Tensor] = []

    def load(index: int, into: Tensor) -> None:
        into.copy_(images[index])

    try:
        for t in at:
            session.interpolate(0, Interpolate(0, 1, t), load, lambda image: found.append(image[None].clone()))
        return found, session.statistics()
    finally:
        session.close()


def test_bisection_is_the_default_and_matches(shared: Path) -> None:
    """Through the session, frames are padded once, and neither rounded nor cropped between the levels.

    The midpoint is computed once for both quarters.
    """
    tensors, cases, state = golden(shared, "vfimamba", "vfimamba_s")
    images = (tensors["recursive4x/img0"], tensors["recursive4x/img1"])
    outputs = {
        Fraction(facts["t"]): tensors[f"recursive4x/{name}"] for name, facts in cases["recursive4x"]["outputs"].items()
    }
    found, counts = playback(state, images, list(outputs))
    for (t, reference), result in zip(outputs.items(), found, strict=True):
        assert_close(f"recursive4x t={t}", result, reference)
    assert (counts["frames_encoded"], counts["pairs_prepared"], counts["syntheses"]) == (3, 3, 3)


def test_direct_times_match_and_share_one_pair(shared: Path) -> None:
    tensors, _, state = golden(shared, "vfimamba", "vfimamba_s")
    images = (tensors["times/img0"], tensors["times/img1"])
    found, counts = playback(state, images, [Fraction(1, 4), Fraction(4, 5)], times="direct")
    for name, result in zip(("out_t0.25", "out_t0.8"), found, strict=True):
        assert_close(name, result, tensors[f"times/{name}"])
    assert (counts["frames_encoded"], counts["pairs_prepared"], counts["syntheses"]) == (2, 1, 2)


def observed(network: VFIMamba, first: Tensor, second: Tensor) -> dict[str, list[tuple[tuple[Any, ...], Any]]]:
    """Record inputs and outputs of every module call while the frame at 1/2 is interpolated."""
    calls: dict[str, list[tuple[tuple[Any, ...], Any]]] = {}
    for name, module in network.named_modules():
        module.register_forward_hook(
            lambda module, inputs, output, name=name: calls.setdefault(name, []).append((inputs, output))
        )
    with torch.inference_mode():
        network(first, second, torch.tensor([0.5]))
    return calls


def padded_network(shared: Path, variant: str, case: str) -> tuple[VFIMamba, Tensor, Tensor]:
    """Return a network with the stored weights for a case, and its padded images."""
    tensors, cases, state = golden(shared, "vfimamba", variant)
    (facts,) = cases[case]["outputs"].values()
    scale = Fraction(facts["scale"])
    config = next(known for known in FAMILY.variants if known.name == variant).config
    network = VFIMamba(**config, scale=scale).eval()  # type: ignore[arg-type]
    network.load_state_dict(state, strict=True)
    first, second = tensors[f"{case}/img0"], tensors[f"{case}/img1"]
    padding = Padding.of(
        FAMILY.build_config(first.shape[-1], first.shape[-2], scale, FAMILY.option_defaults),
        first.shape[-1],
        first.shape[-2],
    )
    assert [padding.left, padding.top, padding.right, padding.bottom] == cases[case]["pad_ltrb"]
    return network, padding.pad(first), padding.pad(second)


def assert_checkpoints(shared: Path, variant: str, case: str, found: Mapping[str, Tensor]) -> None:
    """Compare every stored checkpoint of a case; one that is missing from `found` fails."""
    tensors, cases, _ = golden(shared, "vfimamba", variant)
    for name in cases[case]["checkpoints"]:
        assert_close(f"{variant} {case}/{name}", found[name], tensors[f"{case}/{name}"])


@pytest.mark.parametrize("variant", SIZES)
def test_checkpoints_of_flow_and_synthesis(shared: Path, variant: str) -> None:
    network, first, second = padded_network(shared, variant, "base")
    calls = observed(network, first, second)
    f3, f4 = calls["feature_bone.block3"][0][1], calls["feature_bone.block4"][0][1]
    (images, levels), refined = calls["unet"][0]
    found = {
        "feat1": _both(calls, "feature_bone.block1"),
        "feat2": _both(calls, "feature_bone.block2"),
        "feat3": f3,
        "feat4": f4,
    }
    for name, module in (
        ("head0", "block.0"),
        ("head1", "block.1"),
        ("local0", "local_block.0"),
        ("local1", "local_block.1"),
    ):
        found[f"{name}_dflow"], found[f"{name}_dmask"] = calls[module][0][1]
    found |= {
        "warped0_bgr": images[:, 6:9],
        "warped1_bgr": images[:, 9:12],
        "mask_logit": images[:, 12:13],
        "flow": images[:, 13:17],
    }
    for stage in (3, 4):
        found[f"wfeat{stage}_0"], found[f"wfeat{stage}_1"] = levels[stage].chunk(2, 1)
    found |= {"unet_s3": calls["unet.down3"][0][1], "refine_bgr": refined}
    assert_checkpoints(shared, variant, "base", found)


def _both(calls: dict[str, list[tuple[tuple[Any, ...], Any]]], name: str) -> Tensor:
    """Return a module's outputs for the first frame, then for the second."""
    return torch.cat([output for _, output in calls[name][:2]])


@pytest.mark.parametrize("variant", SIZES)
def test_checkpoints_inside_the_first_block(shared: Path, variant: str) -> None:
    network, first, second = padded_network(shared, variant, "scan")
    calls = observed(network, first, second)
    place, attention = "feature_bone.block3.blocks.0", "feature_bone.block3.blocks.0.self_attention"
    ((embedded,), _), *_ = calls["feature_bone.block3"]
    height, width = embedded.x.shape[1:3]
    tokens = embedded.tokens
    found = {
        "pe3": embedded.x.permute(0, 3, 1, 2),
        "s3b0_ln1": _both(calls, f"{place}.ln_1"),
        "s3b0_in_proj": _both(calls, f"{attention}.in_proj"),
        "s3b0_act": tokens.u.transpose(1, 2).unflatten(2, (height, width)),
        "s3b0_merged": calls[f"{attention}.out_norm"][0][0][0].unflatten(1, (height, width)),
        "s3b0_out_norm": calls[f"{attention}.out_norm"][0][1].unflatten(1, (height, width)),
        "s3b0_ss2d": calls[f"{attention}.out_proj"][0][1].unflatten(1, (height, width)),
        "s3b0_cab": calls[f"{place}.conv_blk"][0][1],
        "s3b0_out": calls["feature_bone.block3.blocks.1.ln_1"][0][0][0].permute(0, 3, 1, 2),
        "s3b2_out": calls["feature_bone.block3"][0][1],
        "feat4": calls["feature_bone.block4"][0][1],
    }
    block = network.get_submodule(place)
    assert isinstance(block, MixedBlock)
    ssm = block.self_attention
    order = interleaved_paths(height, width, torch.device("cpu")).reads.long()
    with torch.no_grad():
        sequences = tokens.u.flatten(0, 1)[order].transpose(1, 2)[None]  # [1, K, D, L]
        # [1, K, R + 2N, L]
        projected = torch.stack([tokens.projected.flatten(0, 1)[order[k], k] for k in range(4)])[None].transpose(2, 3)
        low, entering, leaving = projected.split((ssm.rank, 16, 16), 2)
        delta, rates = ssm.dt_projs_weight @ low, -torch.exp(ssm.A_logs)
        y = scan(
            sequences.flatten(1, 2),
            delta.flatten(1, 2),
            rates,
            entering,
            leaving,
            ssm.Ds,
            ssm.dt_projs_bias.flatten(),
            True,
        )
    found |= {"s3b0_xs": sequences, "s3b0_Bs": entering, "s3b0_Cs": leaving, "s3b0_ys": y.reshape(sequences.shape)}
    assert_checkpoints(shared, variant, "scan", found)


@pytest.mark.parametrize("variant", SIZES)
def test_checkpoints_at_reduced_size(shared: Path, variant: str) -> None:
    network, first, second = padded_network(shared, variant, "scale0.5")
    calls = observed(network, first, second)
    (_, full), (_, reduced) = calls["feature_bone.block4"]
    (images, _), refined = calls["unet"][0]
    found = {
        "hr_feat4": full,
        "lr_feat4": reduced,
        "local0_in_flow": calls["local_block.0"][0][0][1],
        "flow": images[:, 13:17],
        "refine_bgr": refined,
    }
    assert_checkpoints(shared, variant, "scale0.5", found)


def random_network(seed: int = 0, **arguments: Any) -> VFIMamba:
    """Return a narrow network whose PReLU slopes are also negative and above one, with varied scan decay rates."""
    torch.manual_seed(seed)
    network = VFIMamba(4, **arguments).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.PReLU):
            torch.nn.init.uniform_(module.weight, -0.5, 1.5)
    return network


def test_a_phase_holds_what_it_may_see() -> None:
    """A frame holds all that depends on one image, also at reduced size; a pair adds what depends on both."""
    network, image = random_network(scale=Fraction(1, 2)), torch.rand(1, 3, 64, 64)
    calls: list[str] = []
    for name, module in network.named_modules():
        module.register_forward_hook(lambda module, inputs, output, name=name: calls.append(name))
    with torch.inference_mode():
        frame = network.encode_frame(image)
        assert {
            "feature_bone.block2",
            "feature_bone.patch_embed3",
            "feature_bone.block3.blocks.0.self_attention.conv2d",
        } <= set(calls)
        assert calls.count("feature_bone.block0") == 2
        calls.clear()
        pair = network.prepare_pair(frame, network.encode_frame(image.flip(3)))
        assert "feature_bone.block4" in calls
        calls.clear()
        network.synthesise(pair, torch.tensor([0.5]))
        assert not any(name.startswith("feature_bone") for name in calls)
        assert "block.0.conv.0.0" not in calls
    assert tensor_bytes(frame) > 0
    shared = {tensor.data_ptr() for tensor in frame[0].features}
    assert shared == {first.data_ptr() for first, _ in pair[0].features[:3]}


def test_augmentation_does_not_tell_an_image_from_its_rotation() -> None:
    network = random_network(tta=True)
    first, second, t = torch.rand(1, 3, 32, 64), torch.rand(1, 3, 32, 64), torch.tensor([0.5])
    with torch.inference_mode():
        assert torch.equal(network(first, second, t).flip(2, 3), network(first.flip(2, 3), second.flip(2, 3), t))


def test_both_reduced_modes_agree_where_they_should() -> None:
    """Without local blocks, or at scale 1, the `hr` option makes no difference."""
    first, second, t = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), torch.tensor([0.4])
    for arguments in ({"scale": Fraction(1, 2), "local": False}, {"scale": Fraction(1)}):
        with torch.inference_mode():
            assert torch.equal(
                random_network(**arguments)(first, second, t), random_network(**arguments, hr=True)(first, second, t)
            )
    with torch.inference_mode():
        half = random_network(scale=Fraction(1, 2))(first, second, t)
        assert not torch.equal(half, random_network(scale=Fraction(1, 2), hr=True)(first, second, t))


def test_paths_of_the_scan() -> None:
    """Two frames of 2 rows and 3 columns, tokens 0 to 5 and 6 to 11."""
    reads, writes = (order.tolist() for order in interleaved_paths(2, 3, torch.device("cpu")))
    assert reads[0] == [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]
    assert reads[1] == [0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]
    assert [reads[2], reads[3]] == [reads[0][::-1], reads[1][::-1]]
    assert [writes[0], writes[2]] == [reads[0], reads[2]]
    for position in range(12):  # l = s n + x h + y is added at l' = s n + y w + x of the row order
        half, (x, y) = position // 6, divmod(position % 6, 2)
        assert writes[1][position] == writes[3][11 - position] == reads[0][half * 6 + y * 3 + x]


@functools.cache
def _small_state() -> dict[str, Tensor]:
    """Return random weights of the small variant."""
    torch.manual_seed(3)
    return VFIMamba(16).state_dict()


def test_the_published_pickle_and_a_safetensors_copy_load(tmp_path: Path) -> None:
    """The pickle's keys begin with "module."; a file without that prefix, or in safetensors, is the same model."""
    state, images = _small_state(), torch.rand(2, 3, 32, 32)
    torch.save({f"module.{key}": tensor for key, tensor in state.items()}, tmp_path / "model.pkl")
    save_file(state, tmp_path / "model.safetensors")
    expected = vsvfi.load_model("vfimamba_s", weights=state, device="cpu")(*images)
    for file in ("model.pkl", "model.safetensors"):
        assert torch.equal(vsvfi.load_model("vfimamba_s", weights=tmp_path / file, device="cpu")(*images), expected)


def test_left_overs_of_a_sister_project_are_passed_over() -> None:
    building.loaded(
        "vfimamba_s",
        {"feature_bone.block3.attn_mask": torch.zeros(1), "feature_bone.HW": torch.zeros(2), **_small_state()},
    )


def test_keys_that_are_not_published_are_refused() -> None:
    with pytest.raises(ForeignWeightsError, match=r"1 of 303 unexpected: 'feature_bone\.strange'"):
        building.loaded("vfimamba_s", {"feature_bone.strange": torch.zeros(1), **_small_state()})


@pytest.mark.parametrize("name", ["tta", "local", "hr", "times"])
def test_options_are_checked(name: str) -> None:
    with pytest.raises(ArgumentError, match=rf"options\['{name}'\]=1, must be (True or False|'halving' or 'direct')"):
        check_options(FAMILY, {name: 1})


def test_sizes_scales_and_times() -> None:
    assert [FAMILY.default_scale(*size) for size in ((1280, 720), (1920, 1080), (2048, 1080), (3840, 2160))] == [
        1,
        *[Fraction(1, 2)] * 2,
        Fraction(1, 4),
    ]
    for scale, multiple in ((Fraction(1), 32), (Fraction(1, 2), 32), (Fraction(1, 4), 64)):
        build = FAMILY.build_config(640, 360, scale, FAMILY.option_defaults)
        assert build.size_rule.divisors(scale) == (multiple, multiple)
        assert build.arguments == OPTIONS
    for variant in FAMILY.variants:
        assert variant.timesteps is Timesteps.ANY
        assert [
            variant.uses_bisection(FAMILY.build_config(64, 64, Fraction(1), {**FAMILY.option_defaults, "times": times}))
            for times in ("halving", "direct")
        ] == [
            True,
            False,
        ]


def test_the_warp_is_the_published_one() -> None:
    """linspace(-1, 1, W) + 2 F / (W - 1), with border clamping."""
    image, flow = torch.rand(1, 2, 12, 20), torch.randn(1, 2, 12, 20) * 5
    x = torch.linspace(-1, 1, 20) + flow[:, 0] / (19 / 2)
    y = torch.linspace(-1, 1, 12)[:, None] + flow[:, 1] / (11 / 2)
    expected = torch.nn.functional.grid_sample(image, torch.stack((x, y), 3), padding_mode="border", align_corners=True)
    assert torch.allclose(backward_warp(image, flow), expected, atol=1e-5)


def test_the_scan_is_ready_before_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[tuple[torch.device, torch.dtype]] = []
    monkeypatch.setattr(network_module, "warm_up", lambda device, dtype: warmed.append((device, dtype)))
    vsvfi.load_model("vfimamba_s", weights=_small_state(), device="cpu", precision="bf16")
    assert warmed == [(torch.device("cpu"), torch.bfloat16)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("variant", SIZES)
def test_cuda_matches_too(shared: Path, variant: str) -> None:
    tensors, _, state = golden(shared, "vfimamba", variant)
    images = (tensors["base/img0"].cuda(), tensors["base/img1"].cuda())
    exact = vsvfi.load_model(variant, weights=state, device="cuda", precision="fp32")(*images, 0.5).cpu()
    assert_close("cuda", exact, tensors["base/out_t0.5"], norm=1e-4)
    half = vsvfi.load_model(variant, weights=state, device="cuda", precision="fp16")(*images, 0.5).cpu()
    assert float((half - tensors["base/out_t0.5"]).abs().mean()) < 5e-3
