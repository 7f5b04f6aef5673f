"""builtin's second opinion: a search for small blocks, and a choice between it and the network's frame."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import vsvfi
from tests.models.live_bytes import pretend_weights, pretending
from vsvfi.engine.build import construct
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.onnx.files import Wanted, check_wanted
from vsvfi.engine.runtimes.onnx.runtime import OnnxRuntime
from vsvfi.errors import ArgumentError, ExportError
from vsvfi.models.blocks.constants import Constants
from vsvfi.models.registry import find
from vsvfi.models.uprnet import search
from vsvfi.models.uprnet.choice import Choice, find_candidates
from vsvfi.models.uprnet.network import UPRNet
from vsvfi.models.uprnet.sampling import sampled
from vsvfi.options import Options
from vsvfi.weights.fetch import fetch
from vsvfi.weights.load import load_state


def texture(seed: int, height: int, width: int) -> Tensor:
    """Detail of two pixels, as of small letters."""
    drawn = torch.rand(1, 3, height + 2, width + 2, generator=torch.Generator().manual_seed(seed))
    return functional.avg_pool2d(drawn, 3, 1)


def still_flow(image: Tensor) -> Tensor:
    return image.new_zeros(1, 4, *image.shape[2:])


def motion(first: Tensor, second: Tensor, flow: Tensor, shrunk: int = 1) -> Tensor:
    return search.search_motion(first, second, flow, Constants(nn.Module()), shrunk)


@pytest.mark.parametrize("speed", [(11, 0), (-22, 3), (2, -5)])
def test_a_strip_that_moves_over_a_still_ground_is_found(speed: tuple[int, int]) -> None:
    """Where the network says that nothing moves."""
    ground, strip = texture(1, 96, 160), texture(2, 96 + 64, 160 + 64)
    frames = []
    for x, y in ((0, 0), speed):
        image = ground.clone()
        image[:, :, 40:64] = strip[:, :, 72 - y : 96 - y, 32 - x : 192 - x]
        frames.append(image)
    found = motion(*frames, still_flow(ground))[:, :2]
    wanted = found.new_tensor(speed).reshape(1, 2, 1, 1)
    inside = found[:, :, 48:56, 32:128]
    assert float(((inside - wanted).norm(dim=1) < 0.3).float().mean()) > 0.95
    assert float(found[:, :, :24].norm(dim=1).max()) < 0.3


@pytest.mark.parametrize(("speed", "shrunk"), [(42, 1), (84, 2)])
def test_far_motion_is_found_by_a_search_of_a_smaller_picture(speed: int, shrunk: int) -> None:
    """By up to the reach at a quarter of the size that is searched, and to a fraction of a pixel of the full one."""
    smooth = functional.interpolate(texture(8, 64, 160), scale_factor=2, mode="bicubic").clamp(0, 1)
    first, second = smooth[..., :224], smooth[..., speed : speed + 224]
    found = motion(first, second, still_flow(first), shrunk)
    inside = found[..., 16:-16, 100:-100] - found.new_tensor((-speed, 0, speed, 0)).reshape(1, 4, 1, 1)
    assert float((inside.abs() < 0.3).float().mean()) > 0.95


def test_what_leaves_the_picture_moves_like_what_is_beside_it() -> None:
    wide = texture(12, 96, 192)
    first, second = wide[..., 20:180], wide[..., :160]
    found = motion(first, second, still_flow(first))
    for leaving in (found[:, :2, 8:-8, -20:], -found[:, 2:, 8:-8, :20]):
        missed = (leaving - leaving.new_tensor((20, 0)).reshape(1, 2, 1, 1)).norm(dim=1)
        assert float((missed < 1).float().mean()) > 0.5


def test_fractions_of_a_pixel_are_found() -> None:
    fine = functional.interpolate(texture(3, 48, 64), scale_factor=8, mode="bicubic")
    first, second = fine[..., ::4, ::4], torch.roll(fine, 6, 3)[..., ::4, ::4]
    found = motion(first, second, still_flow(first))[..., 16:-16, 16:-16]
    assert float((found[:, 0] - 1.5).abs().mean()) < 0.15
    assert float(found[:, 1].abs().mean()) < 0.1


def test_flat_and_equal_images_do_not_move() -> None:
    flat = torch.full((1, 3, 64, 80), 0.4)
    assert not motion(flat, flat, still_flow(flat)).any()
    image = texture(4, 64, 80)
    assert float(motion(image, image, still_flow(image)).abs().max()) < 0.1


def test_a_good_estimate_of_the_network_stays() -> None:
    """Motion beyond the search's reach."""
    wide = texture(5, 64, 256)
    first, second = wide[..., 64:192], wide[..., :128]
    flow = still_flow(first)
    flow[:, 0], flow[:, 2] = 64, -64
    found = motion(first, second, flow)[:, :2]
    assert float(((found - flow[:, :2]).norm(dim=1) < 0.3)[..., :48].float().mean()) > 0.95


def test_bands_of_rows_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, flow = texture(9, 160, 64), texture(10, 160, 64), 3 * texture(11, 160, 64).repeat(1, 2, 1, 1)[:, :4]
    whole = motion(first, second, flow)
    monkeypatch.setattr(search, "_BAND", 32)
    assert torch.equal(motion(first, second, flow), whole)


def test_cubic_samples_keep_detail_and_values() -> None:
    fine = functional.interpolate(texture(9, 32, 40), scale_factor=8, mode="bicubic").clamp(0, 1)
    image, truth = fine[..., ::4, ::4], fine[..., ::4, 2::4]
    flow = torch.zeros(1, 2, 64, 80)
    assert torch.allclose(sampled(image, flow, Constants(nn.Module())), image, atol=1e-5)
    flow[:, 0] = 0.5
    error = (sampled(image, flow, Constants(nn.Module())) - truth)[..., 4:-4, 4:-4].square().mean()
    linear = (0.5 * (image + image.roll(-1, 3)) - truth)[..., 4:-4, 4:-4].square().mean()
    assert float(error) < 0.5 * float(linear)


@pytest.mark.parametrize("size", [(40, 56), (36, 44)])
def test_a_choice_is_of_the_three_images(size: tuple[int, int]) -> None:
    """Without a correction no value leaves the range of the images; each weight alone gives its image."""
    first, second, image = (texture(seed, *size) for seed in (10, 11, 12))
    choice, half = Choice().eval(), torch.full((1, 1, 1, 1), 0.5)
    assert choice.pred.bias is not None
    with torch.no_grad():
        choice.pred.weight[12:] = 0
        choice.pred.bias[12:] = 0
        found = find_candidates(first, second, still_flow(first), Constants(nn.Module()))
        copies = [
            sampled(first, 0.5 * found.back, choice.constants),
            sampled(second, 0.5 * found.forth, choice.constants),
        ]
        made = choice(image, found, half)
        everything = torch.stack([image, *copies])
        assert bool((made <= everything.amax(0) + 1e-6).all())
        assert bool((made >= everything.amin(0) - 1e-6).all())
        choice.pred.weight.zero_()
        for index, expected in enumerate((image, *copies)):
            choice.pred.bias.zero_()
            choice.pred.bias[4 * index : 4 * index + 4] = 40
            assert torch.allclose(choice(image, found, half), expected, atol=1e-5)


def test_timesteps_of_a_batch_are_those_of_single_ones() -> None:
    torch.manual_seed(0)
    network = UPRNet(4, levels=3, search=True).eval()
    first, second = texture(13, 64, 64), texture(14, 64, 64)
    with torch.inference_mode():
        pair = network.prepare_pair(network.encode_frame(first), network.encode_frame(second))
        times = torch.tensor([0.25, 0.6])
        both = network.synthesise(pair, times)
        single = torch.cat([network.synthesise(pair, t[None]) for t in times])
    assert torch.allclose(both, single, atol=1e-5)


def test_the_option_is_of_the_packaged_models() -> None:
    """Letters of 17 pixels that move by 4 gain much; without the option nothing of it is loaded."""
    pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")
    from scripts.evaluate.trials import captions

    (trial,) = captions("bar", (17,), (4,))
    rows = trial.window[0]
    errors = []
    for given in (False, True):
        model = vsvfi.load_model("builtin", device="cpu", options={"search": given})
        made = model(trial.first, trial.second, trial.t)
        errors.append(float((made - trial.truth)[..., rows, :].square().mean()))
    assert errors[1] < errors[0] / 10
    with pytest.raises(ArgumentError, match=r"options\['search'\]=True, uprnet_base has none; use model='builtin'"):
        ModelConfig.of(Options(model="uprnet_base", options={"search": True})).build_config(64, 64)


def test_weights_without_a_choice_run_without_a_search() -> None:
    """Such as those of a run of `scripts.train builtin` with its default architecture."""
    family, variant = find("builtin")
    state = load_state(fetch("builtin", variant.sources, licence=variant.licence))
    plain = {name: weight for name, weight in state.items() if not name.startswith("choice.")}
    first, second = texture(15, 64, 96), texture(16, 64, 96)
    made = vsvfi.load_model("builtin", plain, "cpu", "fp32")(first, second, 0.5)
    wanted = vsvfi.load_model("builtin", None, "cpu", "fp32", options={"search": False})(first, second, 0.5)
    assert torch.equal(made, wanted)
    assert family.recognise(variant, state) == variant


def test_a_search_has_no_onnx_form_and_the_message_says_what_to_do() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed (extra `onnx`)")
    config = ModelConfig.of(Options(model="builtin"))
    with pytest.raises(ExportError, match=r"its search .* has no ONNX form; pass options=\{'search': False\}, or"):
        check_wanted(config, Wanted("prepare", (256, 256)))
    reason = OnnxRuntime().declines(config.family, config.variant)
    assert reason is not None
    assert reason.endswith("; pass options={'search': False}, or use an IFRNet or a RIFE")
    plain = ModelConfig.of(Options(model="builtin", options={"search": False}))
    check_wanted(plain, Wanted("prepare", (256, 256)))
    assert OnnxRuntime().declines(plain.family, plain.variant) is None


@pytest.mark.parametrize("name", ["builtin", "builtin_hq"])
def test_the_memory_of_a_search_is_estimated(name: str) -> None:
    config, size, number = ModelConfig.of(Options(model=name, options={"search": True})), (1920, 1080), 2
    build = config.build_config(*size)
    assert build.scale == Fraction(1, 2)
    width, height = build.padded_size(*size)
    network = construct(config.family, config.variant, build).to("meta")
    with pretending() as live:
        pretend_weights(network.requires_grad_(False), lambda place: torch.float16, "cuda")
        images = [torch.empty(1, 3, height, width, device="cuda") for _ in range(2)]
        t = torch.full((1,), 0.5, device="cuda")
        with live:
            for image in images:
                live.count(image)
            network(*images, t)
    assert live.peak <= config.family.estimate_memory(config.variant, build, size, number) <= 1.2 * live.peak
