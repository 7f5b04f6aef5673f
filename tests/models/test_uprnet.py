"""UPR-Net against stored outputs and checkpoints of the published program, and properties of its specification."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import vsvfi
from tests.fake_cuda import fake_cuda, fake_image, on_fake_cuda
from tests.models.goldens import closeness, golden
from vsvfi.engine.build import construct
from vsvfi.engine.padding import Padding
from vsvfi.errors import ArgumentError
from vsvfi.models.blocks import moved
from vsvfi.models.interpolator import tensor_bytes
from vsvfi.models.registry import check_options, find
from vsvfi.models.uprnet import parts
from vsvfi.models.uprnet.levels import cropped, grown
from vsvfi.models.uprnet.network import UPRNet
from vsvfi.models.uprnet.spec import FAMILY, default_scale, levels_for
from vsvfi.ops.splat.op import SPLAT
from vsvfi.weights.source import Url

SIZES = ("uprnet_base", "uprnet_large", "uprnet_llarge")
CASES = ("base", "pad", "levels2", "levels4", "scale0.5", "scale0.25")
# Mistakes in this network hardly show in the output, and single pixels of tiny splatted weight may differ.
NORM, PEAK = 2e-6, 1e-4
CHECKPOINT_NORM = 4e-6  # rounding differs between CPUs; a mistake is 1e-5 or more
assert_close = closeness(NORM, PEAK)
assert_checkpoint_close = closeness(CHECKPOINT_NORM, PEAK)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("variant", SIZES)
def test_outputs_match_the_published_program(shared: Path, variant: str, case: str) -> None:
    tensors, cases, state = golden(shared, "uprnet", variant)
    facts = cases[case]
    model = vsvfi.load_model(
        variant, weights=state, device="cpu", scale=facts["scale"], options={"levels": facts["levels"]}
    )
    for t in facts["t"]:
        assert_close(
            f"{case} t={t}", model(tensors[f"{case}/img0"], tensors[f"{case}/img1"], t), tensors[f"{case}/out_t{t}"]
        )


@pytest.mark.parametrize("variant", SIZES)
def test_checkpoints_match_the_published_program(shared: Path, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, _, state = golden(shared, "uprnet", variant)
    found = intermediates(monkeypatch, variant, state, tensors["base/img0"], tensors["base/img1"])
    stored = [name.removeprefix("base/") for name in tensors if name.startswith("base/l")]
    assert len(stored) > 30
    for name in stored:
        assert_checkpoint_close(name, found[name], tensors[f"base/{name}"])


@pytest.mark.parametrize("variant", SIZES)
def test_the_flow_of_a_padded_image_matches(shared: Path, variant: str) -> None:
    tensors, _, state = golden(shared, "uprnet", variant)
    network = build(variant, state)
    first, second = tensors["pad/img0"], tensors["pad/img1"]
    padding = Padding.of(
        FAMILY.build_config(first.shape[-1], first.shape[-2], Fraction(1), {"levels": 3}),
        first.shape[-1],
        first.shape[-2],
    )
    with torch.inference_mode():
        pair = network.prepare_pair(network.encode_frame(padding.pad(first)), network.encode_frame(padding.pad(second)))
    assert_close("bi_flow", pair.flows[-1][0], tensors["pad/bi_flow"])


def build(variant: str, state: dict[str, Tensor], scale: Fraction = Fraction(1), levels: int = 3) -> UPRNet:
    config: dict[str, Any] = dict(next(known.config for known in FAMILY.variants if known.name == variant))
    network = UPRNet(**config, scale=scale, levels=levels).eval()
    network.load_state_dict(state, strict=True)
    return network


def intermediates(
    monkeypatch: pytest.MonkeyPatch, variant: str, state: dict[str, Tensor], first: Tensor, second: Tensor
) -> dict[str, Tensor]:
    """Return every checkpoint of specification section 12 at t = 1/2, recorded by hooks."""
    network = build(variant, state)
    calls: dict[str, list[Any]] = {name: [] for name in ("motion", "volume", "synthesis", "splat", "layers", "blocks")}
    kept = moved.splat

    def splat(values: Any, displacement: Tensor) -> Any:
        result = kept(values, displacement)
        calls["splat"].append((displacement, result if len(result) > 1 else result[0]))
        return result

    correlate = parts.local_correlation

    def correlation(*arguments: Any) -> Tensor:
        result = correlate(*arguments)
        calls["volume"].append((arguments[0], arguments[1], torch.nn.functional.leaky_relu(result, 0.1)))
        return result

    monkeypatch.setattr(moved, "splat", splat)
    monkeypatch.setattr(parts, "local_correlation", correlation)
    network.motion_estimator.register_forward_hook(
        lambda module, inputs, output: calls["motion"].append((inputs, output))
    )
    network.synthesis_network.register_forward_hook(
        lambda module, inputs, output: calls["synthesis"].append((inputs, output))
    )
    for layer in range(1, 6):
        hook = lambda module, inputs, output: calls["layers"].append(output.clone())  # noqa: E731
        network.motion_estimator.get_submodule(f"conv_layer{layer}").register_forward_hook(hook)
    for block in ("encoder_conv", "encoder_down1", "encoder_down2", "decoder_up1", "decoder_up2", "decoder_conv"):
        network.synthesis_network.get_submodule(block).register_forward_hook(
            lambda module, inputs, output: calls["blocks"].append(output.clone())
        )
    images: list[Tensor] = []
    level_image = network._image
    monkeypatch.setattr(network, "_image", lambda *arguments: images.append(level_image(*arguments)) or images[-1])
    with torch.inference_mode():
        frames = [network.encode_frame(image) for image in (first, second)]
        pair = network.prepare_pair(*frames)
        result = network.synthesise(pair, torch.tensor([0.5]))
    assert torch.equal(images[-1].clamp(0, 1).flip(1), result)
    found: dict[str, Tensor] = {}
    for index, level in enumerate(network.levels):
        entry: dict[str, Tensor] = {}
        for image, frame in enumerate(frames):
            entry[f"img{image}"] = frame.levels[index].image
            entry |= {f"feat{image}_{stage}": feature for stage, feature in enumerate(frame.levels[index].features)}
        (_, _, entry["prev_flow"], entry["prev_feat"]), (entry["flow"], entry["motion_feat"]) = calls["motion"][index]
        entry["mid_feat0"], entry["mid_feat1"], entry["volume"] = calls["volume"][index]
        entry |= {f"me{layer + 1}": calls["layers"][5 * index + layer] for layer in range(5)}
        entry |= {f"flow_pyr{step}": flow for step, flow in enumerate(pair.flows[index])}
        (entering, features), output = calls["synthesis"][index]
        entry["prev_interp"], entry["warped_img0"], entry["warped_img1"] = entering[:3]
        entry["flow_t"] = torch.cat(entering[5:], 1)
        for step, (warped_0, warped_1) in enumerate(features):
            entry[f"warped_c0_{step}"], entry[f"warped_c1_{step}"] = warped_0, warped_1
        entry |= dict(
            zip(("s0", "s1", "s2", "up1", "up2", "dec"), calls["blocks"][6 * index : 6 * index + 6], strict=True)
        )
        entry["pred"], entry["interp"] = output, images[index].clamp(0, 1)
        masks = torch.sigmoid(output[:, 3:])
        entry["merged"] = (entry["warped_img0"] * masks[:, :1] + entry["warped_img1"] * masks[:, 1:]) / masks.sum(
            1, keepdim=True
        )
        found |= {f"l{level}_{name}": tensor for name, tensor in entry.items()}
    assert len(calls["splat"]) == 6 * len(network.levels)
    return found


def random_network(seed: int = 0, scale: Fraction = Fraction(1), levels: int = 3, ensemble: int = 1) -> UPRNet:
    """Return a small network whose flows move pixels, and whose PReLU slopes are also negative and above one."""
    torch.manual_seed(seed)
    network = UPRNet(4, scale=scale, levels=levels, ensemble=ensemble).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.PReLU):
            torch.nn.init.uniform_(module.weight, -0.5, 1.5)
    torch.nn.init.normal_(network.motion_estimator.get_submodule("conv_layer6.0").weight, std=0.5)
    return network


def test_levels_follow_the_longer_side() -> None:
    published = {448: 3, 450: 4, 896: 4, 1280: 5, 1792: 5, 1920: 6, 3584: 6, 4096: 7, 7168: 7}
    for width, levels in published.items():
        assert levels_for(width, width // 2) == levels, width
        assert levels_for(width // 2, width) == levels, width
    assert levels_for(33, 17) == 3
    scales = {
        (1280, 720): 1,
        (720, 1280): 1,
        (1920, 1080): Fraction(1, 2),
        (2048, 1080): Fraction(1, 2),
        (4096, 2160): Fraction(1, 4),
    }
    scales |= {(2160, 3840): Fraction(1, 4), (7680, 4320): Fraction(1, 4), (640, 480): 1}
    for size, scale in scales.items():
        assert default_scale(*size) == scale, size


def test_the_published_setting_for_4k() -> None:
    build = FAMILY.build_config(4096, 2160, default_scale(4096, 2160), check_options(FAMILY, {}))
    assert build.arguments == {"levels": 7, "ensemble": 1, "search": False}
    assert build.size_rule.padding(4096, 2160, build.scale) == (0, 0, 0, 144)
    assert UPRNet(2, scale=build.scale, levels=7).levels == (6, 5, 4, 3, 2, 0)
    assert (build.size_rule.border, build.size_rule.value) == ("constant", 0.5)


def test_builtin_takes_one_level_more_where_none_are_given() -> None:
    builtin, base = (
        next(variant for variant in FAMILY.variants if variant.name == name) for name in ("builtin", "uprnet_base")
    )
    for width, height in ((176, 144), (640, 360), (3840, 2160)):
        scale, rule = default_scale(width, height), levels_for(width, height)
        for variant, given, expected in ((base, None, rule), (builtin, None, rule + 1), (builtin, 5, 5)):
            assert (
                FAMILY.build_config(width, height, scale, check_options(FAMILY, {"levels": given}), variant).arguments[
                    "levels"
                ]
                == expected
            )


def test_builtin_hq_is_an_ensemble_of_four_unless_asked_for_another() -> None:
    variants = {variant.name: variant for variant in FAMILY.variants}
    for name, given, expected in (
        ("builtin", None, 1),
        ("builtin_hq", None, 4),
        ("builtin_hq", 1, 1),
        ("uprnet_large", None, 1),
        ("uprnet_large", 2, 2),
    ):
        assert (
            FAMILY.build_config(
                64, 64, Fraction(1), check_options(FAMILY, {"ensemble": given}), variants[name]
            ).arguments["ensemble"]
            == expected
        )
    assert variants["builtin_hq"].sources == variants["builtin"].sources
    hq, plain = (
        vsvfi.load_model(name, device="cpu", precision="fp32", **given)
        for name, given in (("builtin_hq", {"options": {"ensemble": 1}}), ("builtin", {}))
    )
    first, second = torch.rand(2, 3, 40, 56)
    assert torch.equal(hq(first, second, 0.3), plain(first, second, 0.3))


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(1, 2)])
@pytest.mark.parametrize("count", [2, 4])
def test_an_ensemble_is_the_mean_of_its_views(count: int, scale: Fraction) -> None:
    network, single = random_network(scale=scale, ensemble=count), random_network(scale=scale)
    single.load_state_dict(network.state_dict())
    first, second, t = torch.rand(1, 3, 32, 48), torch.rand(1, 3, 32, 48), torch.tensor([0.3])
    with torch.inference_mode():
        plain = single(first, second, t)
        views = [
            plain,
            single(second.flip(2), first.flip(2), 1 - t).flip(2),
            single(second, first, 1 - t),
            single(first.flip(3), second.flip(3), t).flip(3),
        ]
        assert float((network(first, second, t) - torch.stack(views[:count]).mean(0)).abs().max()) < 1e-5
        assert all(float((view - plain).abs().max()) > 1e-2 for view in views[1:])


def random_state(variant: str) -> dict[str, Tensor]:
    config: dict[str, Any] = dict(next(known.config for known in FAMILY.variants if known.name == variant))
    torch.manual_seed(0)
    return UPRNet(**config).state_dict()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"scale": 0.125}, "scale=0.125, is not a scale that UPR-Net supports; use one of 1.0, 0.5, 0.25, or None"),
        ({"options": {"levels": 0}}, r"options\['levels'\]=0, must be a whole number from 1 to 9"),
        ({"options": {"levels": True}}, r"options\['levels'\]=True, must be a whole number"),
        (
            {"options": {"levels": 2}, "scale": 0.25},
            r"options\['levels'\]=2, must be more than the 2 levels that scale=0.25 skips; use 3 or more",
        ),
        ({"options": {"steps": 2}}, "UPR-Net has no option 'steps'; it takes ensemble, levels"),
        ({"options": {"ensemble": 3}}, r"options\['ensemble'\]=3, must be 1, 2 or 4, or None"),
        ({"options": {"ensemble": True}}, r"options\['ensemble'\]=True, must be 1, 2 or 4"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], fault: str) -> None:
    with pytest.raises(ArgumentError, match=fault):
        vsvfi.load_model("uprnet_base", weights=random_state("uprnet_base"), device="cpu", **arguments)


def test_a_wrapped_published_file_loads_strictly(tmp_path: Path) -> None:
    state = {f"module.{key}": tensor for key, tensor in random_state("uprnet_base").items()}
    torch.save(state, tmp_path / "upr-base.pkl")
    vsvfi.load_model("uprnet_base", weights=tmp_path / "upr-base.pkl", device="cpu")
    state.popitem()
    torch.save(state, tmp_path / "short.pkl")
    with pytest.raises(vsvfi.errors.ForeignWeightsError, match="1 of 80 missing"):
        vsvfi.load_model("uprnet_base", weights=tmp_path / "short.pkl", device="cpu")
    with pytest.raises(vsvfi.errors.ForeignWeightsError, match="of another shape"):
        vsvfi.load_model("uprnet_large", weights=tmp_path / "upr-base.pkl", device="cpu")


def test_a_frame_takes_the_memory_that_is_documented() -> None:
    network = UPRNet(16, levels=3)
    with torch.inference_mode():
        frame = network.encode_frame(torch.rand(1, 3, 64, 64))
    per_pixel = tensor_bytes(frame) / 4 / 64**2
    assert per_pixel == pytest.approx((16 + 32 / 4 + 64 / 16 + 3) * (1 + 1 / 4 + 1 / 16))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_frame_waits_for_a_compiler(precision: str) -> None:
    cpu = pytest.importorskip("vsvfi.ops.splat.cpu", reason="without llvmlite nothing is compiled")
    SPLAT.self_test("llvmlite")
    cpu.compiled.cache_clear()
    model = vsvfi.load_model("builtin", device="cpu", precision=precision)
    made = cpu.compiled.cache_info().misses
    assert made in (0, 3)  # none where VSVFI_OPS forces another kernel
    model(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), 0.5)
    assert cpu.compiled.cache_info().misses == made


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("variant", SIZES)
def test_cuda_matches_too(shared: Path, variant: str) -> None:
    tensors, _, state = golden(shared, "uprnet", variant)
    images = (tensors["base/img0"].cuda(), tensors["base/img1"].cuda())
    reference = tensors["base/out_t0.5"]
    exact = vsvfi.load_model(variant, weights=state, device="cuda", precision="fp32", options={"levels": 3})(
        *images, 0.5
    ).cpu()
    assert float((exact - reference).norm() / reference.norm()) < 1e-4
    half = vsvfi.load_model(variant, weights=state, device="cuda", precision="fp16", options={"levels": 3})(
        *images, 0.5
    ).cpu()
    assert float((half - reference).abs().mean()) < 5e-3


def test_published_weights_are_pinned_and_their_licence_is_told() -> None:
    """URLs and object ids are those of the authors' repository; licence and notice state the restrictions."""
    pins = {"uprnet_base": "c455803a", "uprnet_large": "6313f56c", "uprnet_llarge": "c94cafbd"}
    for variant in FAMILY.variants:
        if variant.name in pins:
            (source,) = variant.sources
            assert isinstance(source, Url)
            assert (
                source.url
                == f"https://github.com/srcn-ivl/UPR-Net/raw/master/checkpoints/upr-{variant.name.removeprefix('uprnet_')}.pkl"
            )
            assert source.git_blob is not None
            assert source.git_blob.startswith(pins[variant.name])
            assert len(source.git_blob) == 40
            assert "CC BY-NC-ND 4.0" in variant.licence
            assert "may not be used commercially" in variant.licence_notice


@pytest.mark.parametrize("name", ["builtin", "builtin_hq"])
@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (3840, 2160), (720, 576), (1080, 1920), (854, 480)])
def test_packaged_models_pad_little(name: str, size: tuple[int, int]) -> None:
    family, variant = find(name)
    scale = family.default_scale(*size)
    build = family.build_config(*size, scale, family.option_defaults, variant)
    assert Padding.of(build, *size).padded_area < 1.1 * size[0] * size[1]


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(1, 2)])
def test_levels_are_padded_where_the_size_does_not_suit_them(scale: Fraction) -> None:
    """An image with a grey border gives the same levels as the same image without, in which each level adds it."""
    network = UPRNet(8, scale=scale, levels=4).eval()
    image = torch.rand(1, 3, 40, 36, generator=torch.Generator().manual_seed(0))
    framed = functional.pad(image, (0, 28, 0, 24), value=0.5)  # to multiples of 32, as published
    with torch.inference_mode():
        levels, published = network.encode_frame(image).levels, network.encode_frame(framed).levels
        for level, other in zip(levels, published, strict=True):
            height, width = level.image.shape[2:]
            assert torch.equal(level.image, other.image[..., :height, :width])
            assert (height % 4, width % 4) == (0, 0)
        assert levels[-1].image.shape[2:] == image.shape[2:]
        assert network(image, image.flip(3), torch.tensor([0.5])).shape == image.shape
        assert grown(framed, 32) is framed
        assert torch.equal(cropped(framed, image), image)


@pytest.mark.parametrize(("search", "most", "kernels"), [(False, 750, 1000), (None, 900, 1200)])
def test_the_default_model_launches_few_kernels_a_frame(search: bool | None, most: int, kernels: int) -> None:
    """At 1080p in half precision: one frame encoded, the pair prepared, one frame synthesised.

    Operators count once among the launches; a splat is five kernels and more.
    """
    family, variant = find("builtin")
    options = {**family.option_defaults, "search": search}
    build = family.build_config(1920, 1080, Fraction(1, 2), options, variant)
    padding = Padding.of(build, 1920, 1080)
    network = construct(family, variant, build).requires_grad_(False).to("meta")
    with fake_cuda() as watch:
        t = torch.full((1,), 0.5, device="cuda")
        network = on_fake_cuda(network, torch.float16)
        first, second = (fake_image(padding.padded_area // 1920, 1920) for _ in range(2))
        frame = network.encode_frame(first)
        network.forward(first, second, t)  # what is computed once
        with watch:
            network.synthesise(network.prepare_pair(frame, network.encode_frame(second)), t)
    assert sum(watch.launches.values()) < most, watch.launches
    assert watch.kernels < kernels
