"""LDMVFI against the stored outputs and check-points of the published program, and against what the specification says beyond them.

The published size (439 million weights) is built once, for the stored cases. Everything that any weights show is tested on a small network.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import vapoursynth as vs
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.fakes import painted
from tests.models.regression import SMALLER, seeded
from vsvfi.clip import blending, graph
from vsvfi.clip.graph import interpolate
from vsvfi.engine import build
from vsvfi.engine.build import Blueprint, Model, read_model
from vsvfi.engine.session import Session
from vsvfi.errors import ArgumentError, ClipError, ForeignWeightsError
from vsvfi.models.family import Timesteps
from vsvfi.models.ldmvfi import autoencoder, sampler, spec
from vsvfi.models.ldmvfi import network as network_module
from vsvfi.models.ldmvfi.attention import MaxViT, PositionBias
from vsvfi.models.ldmvfi.network import LDMVFI, padded
from vsvfi.models.ldmvfi.sampler import drawn, kept_signal, schedule, timesteps
from vsvfi.models.ldmvfi.spec import FAMILY, padded_size
from vsvfi.models.ldmvfi.unet import UNet
from vsvfi.models.registry import check_options
from vsvfi.ops.sepconv import sepconv
from vsvfi.plan.timeline import Blend

CPU = torch.device("cpu")
OUTPUT, INNER = 1e-5, 1e-5  # a tenth of what is promised for outputs; what is promised inside
(VARIANT,) = FAMILY.variants


@dataclasses.dataclass(frozen=True)
class Stored:
    """The published program's tensors, the facts of its cases, and the weights it had, loaded through the front door."""

    tensors: Mapping[str, Tensor]
    cases: Mapping[str, Any]
    blueprint: Blueprint

    def network(self, **options: object) -> LDMVFI:
        """The weights are shared by all networks."""
        return built(self.blueprint, **options)


def built(blueprint: Blueprint, **options: object) -> LDMVFI:
    network = blueprint.network(blueprint.setup(256, 256, None, options), CPU, torch.float32)
    assert isinstance(network, LDMVFI)
    return network


@pytest.fixture(scope="module")
def stored(shared: Path) -> Stored:
    folder = shared / "goldens"
    sys.path.insert(0, str(folder))
    try:
        import seeded_weights
    finally:
        sys.path.pop(0)
    manifest = json.loads((folder / "ldmvfi" / "ldmvfi.weights.json").read_text())
    needed = [key for key, entry in manifest.items() if not entry.get("buffer") and ".out_conv." not in key]

    def tensor(key: str) -> Tensor:
        entry = manifest[key]
        return torch.from_numpy(seeded_weights.seeded_tensor(key, entry["shape"], entry["mean"], entry["std"]))

    with ThreadPoolExecutor(2) as threads:
        state = dict(zip(needed, threads.map(tensor, needed), strict=True))
    blueprint = read_model("ldmvfi", state)
    del state
    return Stored(load_file(folder / "ldmvfi" / "ldmvfi.safetensors"), json.loads((folder / "ldmvfi" / "cases.json").read_text())["ldmvfi"], blueprint)


def assert_close(name: str, result: Tensor, reference: Tensor, tolerance: float) -> None:
    assert result.shape == reference.shape, name
    assert float((result - reference).norm() / reference.norm()) < tolerance, name


@pytest.mark.parametrize("case", ["pad", "wide", "tall", "steps7"])
def test_outputs_match_the_published_program(stored: Stored, case: str) -> None:
    facts = stored.cases[case]
    inputs = facts.get("inputs", case)
    model = Model(stored.blueprint, CPU, torch.float32, None, {"steps": facts["steps"], "eta": facts["eta"]})
    network = model._built[1] if model._built else None
    assert isinstance(network, LDMVFI)
    assert sorted(update.t for update in network.updates) == facts["timesteps"]
    images = stored.tensors[f"{inputs}/img0"], stored.tensors[f"{inputs}/img1"]
    assert list(padded_size(*images[0].shape[2:])) == facts["padded"]
    noises = {"x_T": stored.tensors[facts["x_T"]]}
    if "noise" in facts:
        noises["step_noise"] = stored.tensors[facts["noise"]]
    assert_close(case, model(*images, **noises), stored.tensors[f"{case}/out_t0.5"], OUTPUT)


def test_every_check_point_and_the_output_of_the_base_case(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {name.removeprefix("base/"): tensor for name, tensor in stored.tensors.items() if name.startswith("base/")}
    network = stored.network(steps=4, eta=0)
    calls: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_hook(lambda module, inputs, output, name=name: calls.setdefault(name, []).append(output))
        for name, module in network.named_modules()
        if name.startswith(("model.diffusion_model.", "first_stage_model."))
    ]
    taken: list[tuple[tuple[Tensor, ...], Tensor]] = []

    def watched(image: Tensor, *maps: Tensor, origin: tuple[int, int]) -> Tensor:
        result = sepconv(image, *maps, origin=origin)
        taken.append((maps, result))
        return result

    monkeypatch.setattr(autoencoder, "sepconv", watched)
    with torch.inference_mode():
        first, second = network.encode_frame(tensors["img0"]), network.encode_frame(tensors["img1"])
        pair = network.prepare_pair(first, second)
        result = network.synthesise(pair, torch.tensor([0.5]), x_T=tensors["x_T"])
    for handle in handles:
        handle.remove()
    stage, unet = "first_stage_model", "model.diffusion_model"
    found: dict[str, Tensor] = {
        "phi_prev_0_ch4": first.pyramid[0][:, :4],
        "phi_prev_2_ch32": first.pyramid[2][:, :32],
        "phi_prev_4": first.pyramid[4],
        "phi_next_4": second.pyramid[4],
        "enc_attn_prev": calls[f"{stage}.encoder.mid.attn_1"][0],
        "enc_mid_prev": calls[f"{stage}.encoder.mid.block_2"][0],
        "latent_prev": first.latent,
        "latent_next": second.latent,
        "temb_751": calls[f"{unet}.time_embed"][0][:1],  # of all steps at once, the noisiest first
        "unet_mid": calls[f"{unet}.middle_block"][0],
        **{f"unet_in{block}": calls[f"{unet}.input_blocks.{block}"][0] for block in (0, 1, 3, 5)},
        **{f"unet_out{block}": calls[f"{unet}.output_blocks.{block}"][0] for block in (2, 5, 8)},
        "quant": calls[f"{stage}.quantize"][0],
        "dec_z": calls[f"{stage}.post_quant_conv"][0],
        "dec_mid": calls[f"{stage}.decoder.mid.block_2"][0],
        "dec_ctx4": calls[f"{stage}.decoder.up.4.cross_attn.proj_in"][0],
        "dec_cross4": calls[f"{stage}.decoder.up.4.cross_attn"][0],
        "dec_cross3": calls[f"{stage}.decoder.up.3.cross_attn"][0],
        "dec_cross2_ch32": calls[f"{stage}.decoder.up.2.cross_attn"][0][:, :32],
        "dec_cross1_ch16": calls[f"{stage}.decoder.up.1.cross_attn"][0][:, :16],
        "dec_cross0_ch4": calls[f"{stage}.decoder.up.0.cross_attn"][0][:, :4],
        "dec_h_tl": calls[f"{stage}.decoder.conv_out"][0][:, :, :32, :32],
        "residual": calls[f"{stage}.decoder.moduleResidual"][0],
        "x_T": tensors["x_T"],
        "img0": tensors["img0"],
        "img1": tensors["img1"],
        "out_t0.5": result,
    }
    x = tensors["x_T"]
    for update, noise in zip(network.updates, calls[f"{unet}.out"], strict=True):
        found[f"eps_{update.t}"] = noise
        found[f"pred_x0_{update.t}"] = (x - update.noise_share * noise) / update.signal
        found[f"x_after_{update.t}"] = x = sampler.ddim([update], lambda latent, index, noise=noise: noise, x, None)
    (maps1, found["warped1"]), (_, found["warped2"]) = taken
    for name, tensor in zip(("v1", "h1", "alpha1", "beta1", "mask1"), maps1, strict=True):
        found[f"{name}_tl"], found[f"{name}_br"] = tensor[:, :, :32, :32], tensor[:, :, -32:, -32:]
    codes = network.first_stage_model.quantize.nearest(x)
    assert torch.equal(codes, tensors["codes"].long())
    unseen = set(tensors) - set(found) - {"codes"}
    assert not unseen
    for name, tensor in found.items():
        assert_close(name, tensor, tensors[name], INNER)


def test_the_convolution_matches_at_both_corners(stored: Stored) -> None:
    """From the stored kernels alone: borders, lattice and the order of the taps do not depend on anything else of ours."""
    tensors = stored.tensors
    image = 2 * tensors["base/img0"] - 1
    for corner, origin in (("tl", (0, 0)), ("br", (224, 224))):
        maps = [tensors[f"base/{name}_{corner}"] for name in ("v1", "h1", "alpha1", "beta1", "mask1")]
        rows, columns = (slice(start, start + 32) for start in origin)
        assert_close(corner, sepconv(image, *maps, origin=origin), tensors["base/warped1"][:, :, rows, columns], 1e-5)


def recorded(session: Session, images: tuple[Tensor, ...], *at: Fraction) -> list[Tensor]:
    """What a session makes between the first two images."""
    found: list[Tensor] = []
    for t in at:
        session.blend(0, Blend(0, 1, t), lambda index, into: into.copy_(images[index]), lambda image: found.append(image[None].clone()))
    return found


def opened(blueprint: Blueprint, images: tuple[Tensor, ...], options: Mapping[str, object], **arguments: Any) -> Session:
    size = (images[0].shape[3], images[0].shape[2])
    return Session(blueprint, devices=[CPU], dtypes=[torch.float32], size=size, scale=None, options=options, **arguments)


def test_recursion_matches_through_the_session(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """The midpoint is cropped and padded anew before it is interpolated from; both quarters go through the U-Net as one batch."""
    batches: list[int] = []
    sample = LDMVFI.sample

    def given_noise(self: LDMVFI, pair: network_module.Pair, position: Fraction) -> dict[str, Tensor]:
        return {"x_T": stored.tensors[f"recurse/x_T_t{float(position)}"]}

    def counted(self: LDMVFI, condition: Tensor, x: Tensor, noises: Tensor | None) -> Tensor:
        batches.append(len(x))
        return sample(self, condition, x, noises)

    monkeypatch.setattr(LDMVFI, "random_inputs", given_noise)
    monkeypatch.setattr(LDMVFI, "sample", counted)
    images = stored.tensors["pad/img0"], stored.tensors["pad/img1"]
    session = opened(stored.blueprint, images, {"steps": 2, "eta": 0}, together=2)
    try:
        times = [Fraction(3, 4), Fraction(1, 4), Fraction(1, 2)]
        for t, result in zip(times, recorded(session, images, *times), strict=True):
            assert_close(f"t={t}", result, stored.tensors[f"recurse/out_t{float(t)}"], OUTPUT)
        counts = session.statistics()
    finally:
        session.close()
    assert batches == [1, 2]
    assert (counts["frames_encoded"], counts["pairs_prepared"], counts["syntheses"]) == (3, 3, 3)


def test_the_weights_are_the_published_ones_by_name_and_number(shared: Path) -> None:
    """Every tensor of the published file is used, or ignored on purpose; every weight of ours is among them."""
    manifest = json.loads((shared / "goldens" / "ldmvfi" / "ldmvfi.weights.json").read_text())
    published = {key: torch.empty(entry["shape"], device="meta") for key, entry in manifest.items()}
    ours = build._construct(FAMILY, VARIANT, FAMILY.setup(256, 256, Fraction(1), FAMILY.option_defaults)).state_dict()
    adapted = spec._averaged(published, ours)
    assert adapted.keys() >= ours.keys()
    assert all(adapted[key].shape == tensor.shape for key, tensor in ours.items())
    used = sum(tensor.numel() for key, tensor in published.items() if key.startswith(("model_ema.diffusion", "first_stage")) and "running" not in key)
    counters = sum(key.startswith("first_stage") and key.endswith("num_batches_tracked") for key in published)
    assert used - counters == VARIANT.parameters
    ignored = [key for key in adapted if any(re.match(pattern, key) for pattern in FAMILY.ignored_keys)]
    assert set(adapted) == set(ours) | set(ignored)
    assert not set(ours) & set(ignored)


SMALL = Blueprint(FAMILY, dataclasses.replace(VARIANT, config=SMALLER["ldmvfi"]), {})


@pytest.fixture(scope="module")
def small() -> Blueprint:
    """A small network with weights that depend on their names alone."""
    network = build._construct(FAMILY, SMALL.variant, FAMILY.setup(256, 256, Fraction(1), FAMILY.option_defaults))
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    return dataclasses.replace(SMALL, state={key: build._own(tensor) for key, tensor in seeded(shapes).items()})


def pictures(height: int = 40, width: int = 50, count: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 5, 6, generator=generator)
    return tuple(torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").split(1))


def model_of(blueprint: Blueprint, **options: object) -> Model:
    return Model(blueprint, CPU, torch.float32, None, {"steps": 1, **options})


def test_phases_are_the_forward_pass_and_leave_no_trace(small: Blueprint) -> None:
    network = built(small, steps=2)
    a, b, c = pictures(count=3)
    half = torch.tensor([0.5])
    with torch.inference_mode():
        frames = [network.encode_frame(image) for image in (a, b, c)]
        pairs = [network.prepare_pair(frames[0], frames[1]), network.prepare_pair(frames[1], frames[2])]
        interleaved = [network.synthesise(pairs[index], half) for index in (0, 1, 0)]
        assert torch.equal(interleaved[0], network(a, b, half))
        assert torch.equal(interleaved[1], network(b, c, half))
        assert torch.equal(interleaved[0], interleaved[2])


def test_a_batch_is_what_its_pictures_are_alone(small: Blueprint) -> None:
    a, b, c = pictures(count=3)
    model = model_of(small, steps=2)
    together = model(torch.cat((a, b)), torch.cat((b, c)))
    assert float((together - torch.cat((model(a, b), model(b, c)))).abs().max()) < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (40, 300), (129, 60), (257, 31)])
def test_any_size(small: Blueprint, size: tuple[int, int]) -> None:
    result = model_of(small)(torch.rand(3, *size), torch.rand(3, *size))
    assert result.shape == (3, *size)
    assert 0 <= float(result.min()) <= float(result.max()) <= 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 448), (256, 512)),
        ((480, 640), (512, 1024)),
        ((720, 1280), (1024, 1536)),
        ((1080, 1920), (1536, 2048)),
        ((272, 256), (512, 256)),
        ((600, 512), (1024, 512)),
        ((256, 256), (256, 256)),
        ((128, 300), (256, 512)),
        ((50, 70), (256, 256)),
        ((2160, 3840), (2560, 4096)),
    ],
)
def test_the_published_padding(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert padded_size(*size) == expected


def test_padding_mirrors_as_often_as_it_takes() -> None:
    image = torch.rand(1, 3, 50, 140)
    rows, columns = (torch.tensor([min(place % (2 * size - 2), -place % (2 * size - 2)) for place in range(256)]) for size in (50, 140))
    assert torch.equal(padded(image), image[:, :, rows][:, :, :, columns])
    assert torch.equal(padded(torch.full((1, 3, 1, 1), 0.3)), torch.full((1, 3, 256, 256), 0.3))
    whole = torch.rand(1, 3, 256, 256)
    assert padded(whole) is whole


def test_strips_do_not_change_the_picture(small: Blueprint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the last layers is what it is in the whole picture, at its borders too."""
    images = torch.rand(2, 1, 3, 256, 256)
    whole = model_of(small)(*images)
    sizes: list[Tensor] = []
    monkeypatch.setattr(autoencoder, "STRIP", 256 * 40)
    network = built(small, steps=1)
    network.first_stage_model.decoder.conv_out.register_forward_hook(lambda module, inputs, output: sizes.append(output))
    with torch.inference_mode():
        parted = network(*images, torch.tensor([0.5]))
    assert len(sizes) == 7
    assert max(size.shape[2] for size in sizes) < 50
    assert float((parted - whole).abs().max()) < 1e-5


def test_only_what_is_shown_is_worked_out(small: Blueprint) -> None:
    network = built(small, steps=1)
    sizes: list[tuple[int, ...]] = []
    network.first_stage_model.decoder.conv_out.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[2:])))
    a, b = pictures(40, 50)
    with torch.inference_mode():
        shown = network(a, b, torch.tensor([0.5]))
        full = network(padded(a), padded(b), torch.tensor([0.5]))
    assert sizes == [(45, 55), (256, 256)]
    assert float((shown - full[:, :, :40, :50]).abs().max()) < 1e-5


def test_noise_depends_on_seed_and_position_alone(small: Blueprint) -> None:
    network, other = built(small, steps=3), built(small, steps=3, seed=1)
    with torch.inference_mode():
        a, b = (network.encode_frame(image) for image in pictures())
        pair = network.prepare_pair(a, b)
    positions = [Fraction(1, 2), Fraction(3, 2), Fraction(1, 4), Fraction(1)]
    found = [network.random_inputs(pair, position) for position in positions]
    assert [tuple(noise.shape) for noise in found[0].values()] == [(1, 3, 8, 8), (4, 1, 3, 8, 8)]
    for position, noises in reversed(list(zip(positions, found, strict=True))):
        assert all(torch.equal(noise, noises[name]) for name, noise in network.random_inputs(pair, position).items())
    drawn_once = [noises["x_T"] for noises in found] + [other.random_inputs(pair, positions[0])["x_T"]]
    assert all(not torch.equal(one, two) for index, one in enumerate(drawn_once) for two in drawn_once[:index])
    calm = built(small, steps=3, eta=0).random_inputs(pair, positions[0])
    assert list(calm) == ["x_T"]
    assert torch.equal(calm["x_T"], found[0]["x_T"])
    before = torch.random.get_rng_state()
    drawn(5, positions[0], (2,))
    assert torch.equal(torch.random.get_rng_state(), before)
    many = torch.cat([drawn(0, Fraction(n, 2), (3, 8, 16))[0].flatten() for n in range(40)])
    assert abs(float(many.mean())) < 0.03
    assert abs(float(many.std()) - 1) < 0.03


def test_frames_do_not_depend_on_the_order_of_requests(small: Blueprint) -> None:
    images = pictures()
    at = [Fraction(k, 4) for k in (1, 2, 3)]
    results = []
    for order, arguments in ((at, {}), (at[2:], {"cache": 0})):
        session = opened(small, images, {"steps": 1}, **arguments)
        results.append(dict(zip(order, recorded(session, images, *order), strict=True)))
        session.close()
    for others in results[1:]:
        assert all(torch.equal(result, results[0][t]) for t, result in others.items())


def test_midpoints_of_a_level_go_together_whatever_is_asked_first(small: Blueprint) -> None:
    """Their number follows from the factor, not from the requests, so the bits do not either."""
    images = pictures()
    at = [Fraction(k, 4) for k in range(1, 4)]
    results, counts = [], []
    for order in (at, at[::-1]):
        session = opened(small, images, {"steps": 1}, together=2)
        results.append(dict(zip(order, recorded(session, images, *order), strict=True)))
        counts.append(session.statistics())
        session.close()
    assert all(torch.equal(results[1][t], result) for t, result in results[0].items())
    assert all(count["syntheses"] == 3 and count["frames_encoded"] == 3 for count in counts)
    alone = opened(small, images, {"steps": 1})
    (singly,) = recorded(alone, images, at[0])
    alone.close()
    assert float((results[0][at[0]] - singly).abs().max()) < 1e-3


def test_given_noise_is_used(small: Blueprint) -> None:
    model, (a, b) = model_of(small, steps=2), pictures()
    x, noise = torch.randn(1, 3, 8, 8), torch.randn(2, 1, 3, 8, 8)
    result = model(a, b, x_T=x, step_noise=noise)
    assert not torch.equal(result, model(a, b, x_T=x))
    assert not torch.equal(result, model(a, b, step_noise=noise))
    batch = model(torch.cat((a, a)), torch.cat((b, b)), x_T=x, step_noise=noise)
    assert float((batch - result).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"t": 0.25}, r"t=\[0\.25\], LDMVFI knows t=0\.5 alone; ask for midpoints of midpoints, or let interpolate\(\) do it"),
        ({"x_T": torch.zeros(1, 3, 8, 9)}, r"x_T=\(1, 3, 8, 9\), must be \(1, 3, 8, 8\) for pictures of this size; leave it out"),
        ({"x_T": torch.zeros(3, 8, 8)}, r"x_T=\(3, 8, 8\), must be \(1, 3, 8, 8\)"),
        ({"step_noise": torch.zeros(2, 1, 3, 8, 8)}, r"step_noise=\(2, 1, 3, 8, 8\), must be \(1, 1, 3, 8, 8\)"),
        ({"noise": torch.zeros(1)}, "LDMVFI takes no such input"),
    ],
)
def test_wrong_calls_are_refused(small: Blueprint, arguments: dict[str, Any], fault: str) -> None:
    with pytest.raises(ArgumentError, match=fault):
        model_of(small)(*pictures(), **arguments)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"steps": 0}, r"options\['steps'\]=0, must be a whole number from 1 to 1000, or 'fast' for 50; see the README of vsvfi/models/ldmvfi"),
        ({"steps": True}, "must be a whole number from 1 to 1000"),
        ({"steps": "slow"}, "must be a whole number from 1 to 1000"),
        ({"eta": 1.5}, r"options\['eta'\]=1\.5, must be a number from 0"),
        ({"eta": False}, "must be a number from 0"),
        ({"seed": 0.5}, r"options\['seed'\]=0\.5, must be a whole number"),
        ({"seed": True}, "must be a whole number"),
        ({"levels": 3}, "LDMVFI has no option 'levels'; it takes eta, seed, steps"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], fault: str) -> None:
    with pytest.raises(ArgumentError, match=fault):
        check_options(FAMILY, options)


def test_options_scales_and_times() -> None:
    assert check_options(FAMILY, {}) == {"steps": 200, "eta": 1.0, "seed": 0}
    assert check_options(FAMILY, {"steps": "fast", "eta": 0, "seed": -3}) == {"steps": 50, "eta": 0.0, "seed": -3}
    assert FAMILY.scales == (1,)
    assert FAMILY.default_scale(3840, 2160) == 1
    assert VARIANT.timesteps is Timesteps.HALF


@pytest.mark.parametrize(
    ("steps", "count", "last"), [(1, 1, 1), (2, 2, 501), (4, 4, 751), (7, 8, 995), (64, 67, 991), (200, 200, 996), (333, 334, 999), (1000, 1000, 999)]
)
def test_the_steps_that_are_visited(steps: int, count: int, last: int) -> None:
    visited = timesteps(steps)
    assert (len(visited), visited[0], visited[-1]) == (count, 1, last)
    assert max(visited) < 1000


def test_the_schedule_is_the_published_one() -> None:
    kept = kept_signal()
    published = {0: 0.9985, 1: 0.996994427, 251: 0.506336338, 501: 0.114004784, 751: 0.00822469954, 996: 1.50951e-4, 999: 1.42304e-4}
    assert all(float(kept[n]) == pytest.approx(value, rel=3e-6) for n, value in published.items())
    for eta in (0.0, 1.0):
        for update in schedule(50, eta):
            assert update.next_noise**2 + update.fresh**2 + update.next_signal**2 == pytest.approx(1, abs=1e-6)
            assert (update.fresh > 0) == (eta > 0)
    assert schedule(50, 1.0)[-1].next_signal == pytest.approx(0.9985**0.5)  # the last step does not end at a clean latent
    assert all(0 <= update.fresh < 1 for update in schedule(1000, 1.0))


def test_noise_goes_away_if_the_network_knows_it() -> None:
    """With the true noise predicted at every step, the sampler ends at the clean latent with the noise of the first training step."""
    clean, noise = torch.randn(2, 1, 3, 8, 8)
    updates = schedule(20, 0.0)
    start = updates[0].signal * clean + updates[0].noise_share * noise
    found = sampler.ddim(updates, lambda x, index: noise, start, None)
    assert float((found - (0.9985**0.5 * clean + 0.0015**0.5 * noise)).abs().max()) < 1e-3


def test_windows_and_lattices() -> None:
    """A token sees its window, then its lattice: what changes where shows which is which."""
    block = MaxViT(32, 1, 4).eval()
    for module in block.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.15)
    image = torch.randn(1, 32, 8, 12)
    changed = image.clone()
    changed[:, :, 1, 2] = torch.randn(32)
    with torch.inference_mode():
        for part, expected in (
            (block.attn_block, {(row, column) for row in range(4) for column in range(4)}),
            (block.attn_grid, {(row, column) for row in range(1, 8, 2) for column in range(2, 12, 3)}),
        ):
            before, after = (part(tokens.permute(0, 2, 3, 1), None) for tokens in (image, changed))
            assert {tuple(place) for place in (before != after).any(3)[0].nonzero().tolist()} == expected


def test_the_bias_is_by_distance() -> None:
    bias = PositionBias(3, 2)
    bias.weight.data = torch.arange(50.0).reshape(25, 2)
    table = bias()
    for i in range(9):
        for j in range(9):
            row = (i // 3 - j // 3 + 2) * 5 + (i % 3 - j % 3 + 2)
            assert table[:, i, j].tolist() == [2 * row, 2 * row + 1]


def test_the_nearest_code_is_found_and_the_first_of_equal_ones() -> None:
    book = autoencoder.Codebook()
    book.embedding.weight.data[5] = book.embedding.weight.data[3] = torch.tensor([40.0, 0.0, 0.0])
    latent = torch.tensor([40.1, 0.0, 0.2]).reshape(1, 3, 1, 1)
    assert book.nearest(latent).tolist() == [[[3]]]
    assert torch.allclose(book(latent).flatten(), torch.tensor([40.0, 0.0, 0.0]), atol=1e-5)


def published(network: LDMVFI, *, averaged: bool) -> dict[str, object]:
    """A checkpoint as the training program saves it: average names without dots, and much that inference does not use."""
    state: dict[str, object] = {"betas": torch.zeros(1000), "posterior_mean_coef1": torch.zeros(1000)}
    for key, tensor in network.state_dict().items():
        if key.startswith("model."):
            state[key] = torch.full_like(tensor, torch.nan) if averaged else tensor
            if averaged:
                state["model_ema." + key.removeprefix("model.").replace(".", "")] = tensor
        else:
            state[key] = tensor
            state[key.replace("first_stage_model", "cond_stage_model")] = tensor
    state["model_ema.decay"] = torch.tensor(0.9999)
    state["first_stage_model.decoder.up.3.cross_attn.proj_in.1.num_batches_tracked"] = torch.tensor(7)
    state["first_stage_model.decoder.up.3.cross_attn.out_conv.1.bias"] = torch.zeros(4)
    return {"epoch": 40, "state_dict": state}


@pytest.fixture
def small_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ldmvfi` is the small network."""
    monkeypatch.setattr(build, "find", lambda name: (FAMILY, SMALL.variant))


@pytest.mark.usefixtures("small_variant")
@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("container", ["ckpt", "safetensors"])
def test_a_published_file_loads_strictly(small: Blueprint, tmp_path: Path, averaged: bool, container: str) -> None:
    content: Any = published(built(small), averaged=averaged)
    path = tmp_path / f"ldmvfi.{container}"
    if container == "ckpt":
        torch.save(content, path)
    else:
        save_file({key: tensor.clone().contiguous() for key, tensor in content["state_dict"].items()}, path)
    blueprint = read_model("ldmvfi", path)
    assert blueprint.state.keys() == small.state.keys()
    path.write_bytes(bytes(path.stat().st_size))  # nothing is read from it any more
    assert all(torch.equal(tensor, small.state[key]) for key, tensor in blueprint.state.items())
    content["state_dict"].pop("first_stage_model.quant_conv.weight")
    with pytest.raises(ForeignWeightsError, match=r"1 of \d+ missing: 'first_stage_model.quant_conv.weight'"):
        read_model("ldmvfi", content["state_dict"])
    with pytest.raises(ForeignWeightsError, match=r"1 of \d+ unexpected: 'first_stage_model.strange'"):
        read_model("ldmvfi", {**published(built(small), averaged=averaged)["state_dict"], "first_stage_model.strange": torch.zeros(1)})  # type: ignore[dict-item]


@pytest.mark.usefixtures("small_variant")
def test_an_incomplete_average_is_not_mixed_with_raw_weights(small: Blueprint) -> None:
    state: Any = published(built(small), averaged=True)["state_dict"]
    state.pop("model_ema.diffusion_modelout2bias")
    with pytest.raises(ForeignWeightsError, match=r"1 of \d+ missing: 'model\.diffusion_model\.out\.2\.bias'"):
        read_model("ldmvfi", state)


def test_half_precision_keeps_the_codebook_and_stays_near(small: Blueprint) -> None:
    a, b = pictures()
    half = Model(small, CPU, torch.bfloat16, None, {"steps": 1})
    network = half._network(small.setup(50, 40, None, {"steps": 1}))
    kept = {key for key, tensor in network.state_dict().items() if tensor.dtype == torch.float32}
    assert kept == {"first_stage_model.quantize.embedding.weight"}
    assert half(a, b).dtype == torch.float32
    unet = network.model["diffusion_model"]
    assert isinstance(unet, UNet)
    exact = built(small, steps=1)
    condition, x = torch.randn(1, 6, 8, 8), torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        near, true = (one.sample(condition, x, torch.zeros(1, 1, 3, 8, 8)) for one in (network, exact))
        assert near.dtype == torch.float32
        assert float((near - true).norm() / true.norm()) < 2e-2
        frame, exactly = network.encode_frame(a), exact.encode_frame(a)
        assert float((frame.latent - exactly.latent).norm() / exactly.latent.norm()) < 5e-2


def test_networks_share_the_weights_of_their_blueprint(small: Blueprint) -> None:
    """On the CPU in float32: 1.7 GB that are there once, however many networks there are."""
    one, two = built(small, steps=1).state_dict(), built(small, steps=2).state_dict()
    assert one.keys() == two.keys() == small.state.keys()
    assert all(one[key].data_ptr() == two[key].data_ptr() == tensor.data_ptr() for key, tensor in small.state.items())


def test_a_size_that_cannot_fit_is_refused(small: Blueprint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "memory", lambda device: 3 << 30)
    small.check_memory(256, 256, CPU, torch.float32)
    fault = r"3840x2160 takes LDMVFI about 1\d\.\d GiB in float32, cpu has 3\.0 GiB; use a smaller picture, fewer at a time"
    with pytest.raises(ClipError, match=fault):
        small.check_memory(3840, 2160, CPU, torch.float32)
    with pytest.raises(ClipError, match="9 pictures of 1024x512 at a time take LDMVFI about"):
        small.check_memory(1024, 512, CPU, torch.float32, 9)
    images = (torch.zeros(1, 3, 2160, 3840),) * 2
    with pytest.raises(ClipError, match="3840x2160"):
        model_of(small)(*images)
    with pytest.raises(ClipError, match="3840x2160"):
        opened(small, images, {})


def test_the_operator_is_ready_before_the_first_frame(small: Blueprint, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[tuple[torch.device, torch.dtype]] = []
    monkeypatch.setattr(network_module, "warm_up", lambda device, dtype: warmed.append((device, dtype)))
    Model(small, CPU, torch.bfloat16, None, {})
    assert warmed == [(CPU, torch.bfloat16)]


@pytest.mark.usefixtures("small_variant")
def test_interpolate_gives_the_same_frames_whatever_is_asked(small: Blueprint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times the rate through VapourSynth: forwards, and backwards in another graph; both quarters of a pair go together."""
    for module in (graph, blending):
        monkeypatch.setattr(module, "find", lambda name: (FAMILY, SMALL.variant))
    batches: list[int] = []
    sample = LDMVFI.sample

    def counted(self: LDMVFI, condition: Tensor, x: Tensor, noises: Tensor | None) -> Tensor:
        batches.append(len(x))
        return sample(self, condition, x, noises)

    monkeypatch.setattr(LDMVFI, "sample", counted)
    save_file({key: tensor.contiguous() for key, tensor in small.state.items()}, tmp_path / "small.safetensors")

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        array[:] = np.roll(np.random.default_rng(plane).integers(0, 256, array.shape, np.uint8), 3 * n, 1)

    clip = painted(paint, format=vs.RGB24, width=48, height=32, length=2, fpsnum=24, fpsden=1)
    found: list[list[np.ndarray]] = []
    for order in (range(5), range(4, -1, -1)):
        result = interpolate(clip, model="ldmvfi", multi=4, weights=tmp_path / "small.safetensors", device="cpu", options={"steps": 1}, scene="off")
        shown = {}
        for n in order:
            with result.get_frame(n) as frame:
                shown[n] = np.stack([np.array(frame[plane]) for plane in range(3)])
        found.append([shown[n] for n in range(5)])
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))
    assert sorted(batches) == [1, 1, 2, 2]
    assert all(not np.array_equal(found[0][n], found[0][n + 1]) for n in range(4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_matches_too(stored: Stored) -> None:
    facts, cuda = stored.cases["base"], torch.device("cuda", 0)
    images = stored.tensors["base/img0"], stored.tensors["base/img1"]
    options = {"steps": facts["steps"], "eta": facts["eta"]}
    exact = Model(stored.blueprint, cuda, torch.float32, None, options)(*images, x_T=stored.tensors["base/x_T"])
    assert_close("cuda", exact, stored.tensors["base/out_t0.5"], 1e-4)
    half = Model(stored.blueprint, cuda, torch.float16, None, options)(*images, x_T=stored.tensors["base/x_T"])
    assert bool(torch.isfinite(half).all())
