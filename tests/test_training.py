"""Training on a tiny configuration: samples are true, the loss falls, and a resumed run goes on bit for bit."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from scripts.train import builtin
from scripts.train.__main__ import main
from scripts.train.architectures import ARCHITECTURES
from scripts.train.bank import Bank
from scripts.train.data import Renderer, Sample
from scripts.train.export import main as export
from scripts.train.forms.packaged import PackagedForm
from scripts.train.heldout import SIZE
from scripts.train.loss import census, deviation, sharpness
from scripts.train.options import builtin_parser
from scripts.train.recording import halved_colour, quantised
from scripts.train.run import Run
from scripts.train.sources.rendered import Rendered, as_batch
from scripts.train.sources.source import Reading
from vsvfi.engine.model import load_model
from vsvfi.ops.warp import backward_warp


@pytest.fixture(scope="module")
def bank() -> Bank:
    return Bank.drawn(0, 6, 8)


TINY = (
    *("--batch", "2", "--size", "64", "--warmup", "1", "--decay-from", "0.9", "--width", "2", "--full-precision"),
    *("--backgrounds", "2", "--sprites", "2", "--held", "0"),
)


def begun(out: Path, *more: str) -> Run:
    """A tiny run at its start."""
    return builtin.prepare(builtin_parser().parse_args([*TINY, "--out", str(out), *more]))


def train(out: Path, *more: str) -> dict[str, Any]:
    """The last checkpoint of a tiny run of 4 steps."""
    assert main(["builtin", *TINY, "--out", str(out), "--steps", "4", "--every", "2", *more]) == 0
    state: dict[str, Any] = torch.load(out / "last.pt", weights_only=True)
    return state


def drawn(bank: Bank, step: int) -> Sample:
    return Renderer(bank, 4, (96, 96), 3).draw(step)


def test_a_batch_depends_on_seed_and_step_alone(bank: Bank) -> None:
    renderer = Renderer(bank, 2, (64, 48), 5)
    first = renderer.draw(7)
    renderer.draw(8)
    again = renderer.draw(7)
    assert torch.equal(first.truth, again.truth)
    assert torch.equal(first.flow, again.flow)
    assert not torch.equal(first.truth, renderer.draw(9).truth)
    assert first.truth.shape == (2, 3, 48, 64)
    assert 0 <= float(first.first.min()) <= float(first.first.max()) <= 1


def test_exact_flow_explains_the_frame_between(bank: Bank) -> None:
    warped, blended = 0.0, 0.0
    for step in range(8):
        sample = drawn(bank, step)
        for image, flow in ((sample.first, sample.flow[:, :2]), (sample.second, sample.flow[:, 2:])):
            warped += float((backward_warp(image, flow) - sample.truth).abs().median())
        blended += float(((sample.first + sample.second) - 2 * sample.truth).abs().median())
    assert warped < 0.6 * blended


def test_still_samples_are_one_image(bank: Bank) -> None:
    found = 0
    for step in range(40):
        sample = drawn(bank, step)
        for index in torch.nonzero(sample.still)[:, 0].tolist():
            found += 1
            assert torch.equal(sample.first[index], sample.second[index])
            assert torch.equal(sample.first[index], sample.truth[index])
            assert float(sample.flow[index].abs().max()) < 1e-3
    assert found


def test_parts_of_the_screen_stand_still_beside_motion(bank: Bank) -> None:
    held, beside = 0.0, 0.0
    for step in range(12):
        sample = drawn(bank, step)
        for index in range(4):
            part = (sample.flow[index] == 0).all(0)
            if sample.still[index] or not 0.01 < float(part.float().mean()) < 0.9:
                continue
            apart = (sample.first[index] - sample.truth[index]).abs().amax(0)
            held += float(apart[part].mean())
            beside += float(apart[~part].mean())
    assert 0 < held < 0.5 * beside


def test_exact_motion_explains_each_frame_from_the_other(bank: Bank) -> None:
    warped, apart = 0.0, 0.0
    for step in range(8):
        sample = drawn(bank, step)
        for image, other, flow in (
            (sample.second, sample.first, sample.motion[:, :2]),
            (sample.first, sample.second, sample.motion[:, 2:]),
        ):
            warped += float((backward_warp(image, flow) - other).abs().median())
            apart += float((image - other).abs().median())
    assert warped < 0.6 * apart


@pytest.mark.parametrize(
    ("name", "config"), [("ifrnet", {"widths": (8, 8, 8, 8), "side": 4}), ("uprnet", {"width": 4})]
)
def test_training_begins_as_blending(bank: Bank, name: str, config: dict[str, Any]) -> None:
    sample = drawn(bank, 0)
    t = sample.t.reshape(-1, 1, 1, 1)
    with torch.no_grad():
        made = ARCHITECTURES[name].fresh(**config)(sample.first, sample.second, sample.t)
    change = sample.second - sample.first
    off = (made - (sample.first + t * change)).abs() - 0.1 * change.abs()
    assert float(off[..., 16:-16, 16:-16].max()) < 1e-3


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_few_steps_lower_the_loss(tmp_path: Path, architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(ARCHITECTURES["ifrnet"], config={"widths": (8, 8, 8, 8), "side": 4})
    monkeypatch.setitem(ARCHITECTURES, "ifrnet", small)
    words = ["--steps", "1000", "--rate", "5e-3", "--architecture", architecture]
    words += ["--width", "4" if architecture in ("uprnet", "fine") else "0"]
    if architecture == "uprnet":
        words += ["--deviation-weight", "1", "--census-weight", "0.1"]
    if architecture == "fine":
        words += ["--sharpness-weight", "0.02", "--scenery", str(tmp_path / "scenery.pt")]
    subject = begun(tmp_path, *words)
    assert isinstance(subject.source, Rendered)
    sample = as_batch(subject.source.renderer(1, 64).draw(1))
    totals = [subject.advance([sample])[0]["total"] for _ in range(20 if architecture in ("ifrnet", "rife") else 10)]
    assert min(totals[-3:]) < 0.9 * totals[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder, "--held", "1")
    return folder


def test_resuming_goes_on_bit_for_bit(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parted = tmp_path / "parted"
    assert train(parted, "--held", "1", "--until", "2")["step"] == 2
    resumed = train(parted, "--held", "1", "--resume")
    reference = torch.load(whole / "last.pt", weights_only=True)
    assert resumed["step"] == reference["step"] == 4
    for part in ("form", "average"):
        for name, weight in reference[part].items():
            assert torch.equal(weight, resumed[part][name])
    for number, name in enumerate(("exp_avg", "momentum")):  # of AdamW and Muon
        one, other = (run["optimisers"][number]["state"][0][name] for run in (reference, resumed))
        assert torch.equal(one, other)
    curve = (parted / "curve.csv").read_text()
    assert curve == (whole / "curve.csv").read_text()
    header, *rows = (line.split(",") for line in curve.splitlines())
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row[header.index("still_error")] == "" for row in rows] == [True, False, True, False]
    assert {path.name for path in parted.glob("*.p[nt]*")} == {
        "best.pt",
        "last.pt",
        "sample-000002.png",
        "sample-000004.png",
    }
    assert "held out" in capsys.readouterr().err


def test_checkpoints_from_before_the_recipe_are_resumed(whole: Path, tmp_path: Path) -> None:
    """They hold the network's weights by themselves, and nothing of the schedule."""
    state = torch.load(whole / "last.pt", weights_only=True)
    network = {name.removeprefix("network."): tensor for name, tensor in state.pop("form").items()}
    for group in (group for optimiser in state["optimisers"] for group in optimiser["param_groups"]):
        del group["base"]
    kept = ("step", "best", "elapsed", "average", "optimisers", "seed", "architecture", "config", "weights")
    torch.save({"network": network, **{name: state[name] for name in kept}}, tmp_path / "last.pt")
    subject = begun(tmp_path, "--steps", "6")
    subject.restore(tmp_path / "last.pt")
    assert subject.step == 4
    for name, weight in subject.form.network.state_dict().items():
        assert torch.equal(weight, network[name])
    stream = subject.source.steps(reading(subject, subject.step), lambda: subject.progress)
    assert math.isfinite(subject.advance(next(stream))[0]["total"])
    with pytest.raises(ValueError, match="config="):
        begun(tmp_path, "--width", "4").restore(tmp_path / "last.pt")


def test_a_clock_ends_the_run_and_lowers_the_rate(tmp_path: Path) -> None:
    subject = begun(tmp_path, "--minutes", "1", "--rate", "1e-3")
    assert subject.length == math.inf
    stream = subject.source.steps(reading(subject, 0), lambda: subject.progress)
    subject.advance(next(stream))
    assert subject.rate == 1e-3
    subject.elapsed = 57.0  # of the last tenth of the run, half is left
    assert subject.progress == 0.95
    assert not subject.at_end()
    subject.advance(next(stream))
    assert subject.rate == pytest.approx(0.5e-3)
    subject.elapsed = 61.0
    assert subject.at_end()


def test_the_usual_size_is_exported_for_the_plugin(tmp_path: Path) -> None:
    state = train(tmp_path, "--width", "8", "--steps", "1", "--every", "1")
    made = load_model("builtin", weights=tmp_path / "weights.safetensors")
    images = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    assert made(*images).shape == (1, 3, 64, 64)
    network = ARCHITECTURES[state["architecture"]].fresh(**state["config"])
    network.load_state_dict(state["average"])


@pytest.mark.filterwarnings("default")  # the tracer warns of itself
def test_compiled_blocks_are_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest blocks are traced for all sizes.

    Compiling them is torch's responsibility, and takes minutes.
    """
    kept, compiled = nn.Module.compile, []
    monkeypatch.setattr(
        nn.Module,
        "compile",
        lambda module, **options: compiled.append(module) or kept(module, backend="aot_eager", **options),
    )
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True, recompile_limit=8):
        pyramid = begun(tmp_path, "--compile").form.network.get_submodule("feat_pyramid")
        assert len(compiled) == 15
        plain = copy.deepcopy(pyramid)
        plain.apply(lambda module: setattr(module, "_compiled_call_impl", None))
        for side in (16, 32):
            energies = [
                sum(features.square().mean() for features in network(torch.ones(1, 3, side, side)))
                for network in (pyramid, plain)
            ]
            for energy in energies:
                energy.backward()
            assert float(energies[0].detach()) == pytest.approx(float(energies[1].detach()))
    for (name, one), (other_name, other) in zip(pyramid.named_parameters(), plain.named_parameters(), strict=True):
        assert name == other_name
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_what_an_architecture_freezes_stays_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ARCHITECTURES["uprnet"]

    def fresh(width: int) -> Any:
        network = plain.fresh(width)
        network.get_submodule("feat_pyramid").requires_grad_(False)
        return network

    monkeypatch.setitem(ARCHITECTURES, "uprnet", replace(plain, fresh=fresh))
    subject = begun(tmp_path)
    frozen = {name for name, weight in subject.form.network.named_parameters() if not weight.requires_grad}
    assert frozen == {name for name in subject.form.network.state_dict() if name.startswith("feat_pyramid.")}
    assert not frozen & set(subject.trained)
    optimised = [
        weight for optimiser in subject.optimisers for group in optimiser.param_groups for weight in group["params"]
    ]
    assert len(optimised) == len(subject.trained)


def test_a_width_is_for_uprnet_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["builtin", "--out", str(tmp_path), "--architecture", "ifrnet", "--width", "8"]) == 1
    assert "--width 8 is for --architecture uprnet or fine; leave it out" in capsys.readouterr().err


def test_a_run_that_begins_with_weights_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    average = train(first, "--steps", "1")["average"]
    target = tmp_path / "packaged.safetensors"
    assert export([str(first / "last.pt"), "--target", str(target), "--command", "the first"]) == 0
    following = begun(second, "--weights", str(target), "--warmup", "1")
    for name, weight in following.form.network.state_dict().items():
        assert torch.equal(weight, average[name].half().float())
    following.advance(next(following.source.steps(reading(following, 0), lambda: 0.0)))
    second.mkdir()
    following.save(second / "last.pt")
    assert export([str(second / "last.pt"), "--target", str(target), "--command", "the second"]) == 0
    record = json.loads(target.with_suffix(".json").read_text())
    assert record["command"] == "the second"
    assert record["began_with"]["command"] == "the first"
    assert record["sha256"] != record["began_with"]["sha256"]


def reading(subject: Run, begin: int) -> Reading:
    """How the one process reads from a step on."""
    return Reading(
        share=subject.share, augmentation=(), crop=subject.recipe.crop, seed=1, begin=begin, end=1000, workers=0
    )


def test_large_samples_come_in_turn_and_need_more_levels(tmp_path: Path) -> None:
    subject = begun(tmp_path, "--ease", "0.5", "--far", "0.25", "--size", "128", "--batch", "4")
    sizes = {}
    for progress in (0.2, 0.6):
        stream = subject.source.steps(reading(subject, 0), lambda progress=progress: progress)
        sizes[progress] = [tuple(next(stream)[0].first.shape) for _ in range(16)]
    assert set(sizes[0.2]) == {(8, 3, 64, 64)}
    assert set(sizes[0.6]) == {(4, 3, 128, 128), (1, 3, 256, 256)}
    assert sizes[0.6].count((1, 3, 256, 256)) in (4, 5)
    form, source = subject.form, subject.source
    assert isinstance(form, PackagedForm)
    assert isinstance(source, Rendered)
    large = source.renderer(1, 256).draw(0, 2.0)
    assert len(form.architecture.estimate(form.network, large).images) == 5


def test_a_codec_rounds_and_keeps_what_is_smooth() -> None:
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    smooth = (0.5 + 0.3 * torch.sin(rows / 20 + columns / 25)).expand(1, 3, -1, -1)
    noisy = (smooth + 0.1 * torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    step = torch.full((1, 1, 1, 1), 16 / 255)
    assert float((halved_colour(smooth) - smooth).abs().max()) < 1e-5  # grey has no colour to lose
    assert float((quantised(smooth, step) - smooth).abs().max()) < 0.05
    assert float((quantised(noisy, step) - noisy).abs().mean()) > 0.01
    assert torch.allclose(quantised(noisy, step * 1e-4), noisy, atol=1e-4)


def test_census_sees_edges_and_no_brightness() -> None:
    image = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(7))
    assert float(census(image, image)) == 0
    assert float(census(image, image + 0.3)) < 1e-6
    moved = census(image.requires_grad_(), image.detach().roll(1, 3))
    assert float(moved.detach()) > 0.2
    moved.backward()
    assert image.grad is not None
    assert bool(image.grad.isfinite().all())


def test_deviation_is_the_root_of_the_mean_square_of_each_image() -> None:
    error = torch.stack([torch.full((3, 4, 4), 0.3), torch.cat((torch.zeros(3, 4, 2), torch.full((3, 4, 2), 0.4)), 2)])
    assert float(deviation(error)) == pytest.approx((0.3 + 0.4 / 2**0.5) / 2, rel=1e-3)


def test_sharpness_is_of_gradients_alone() -> None:
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(6))
    assert float(sharpness(image, image)) == 0
    assert float(sharpness(image, 0.1 + image)) == pytest.approx(0, abs=1e-5)
    assert float(sharpness(0.5 * image, image)) == pytest.approx(math.log(4), abs=1e-2)


def test_a_finer_network_begins_as_the_plain_one(bank: Bank) -> None:
    """Its additions pass on the flow; backward-warped copies of the same images have a small share."""
    sample = drawn(bank, 1)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        plain, finer = ARCHITECTURES["uprnet"].fresh(width=4), ARCHITECTURES["fine"].fresh(width=4)
        nn.init.normal_(plain.motion_estimator.conv_layer6[0].weight, std=0.3)
        nn.init.normal_(plain.synthesis_network.pred.weight, std=0.05)
    state = plain.state_dict()
    ARCHITECTURES["fine"].begin(finer, state)
    with torch.no_grad():
        made = [network.eval()(sample.first, sample.second, sample.t) for network in (plain, finer)]
        flows = [
            network.prepare_pair(network.encode_frame(sample.first), network.encode_frame(sample.second)).flows[-1][0]
            for network in (plain, finer)
        ]
    assert float((made[0] - made[1]).abs().mean()) < 0.25 * float((made[0] - sample.first).abs().mean())
    assert float((flows[0] - flows[1]).abs().mean()) < 0.05 * float(flows[0].abs().mean())
    del state["feat_pyramid.conv_stage0.0.weight"]
    with pytest.raises(KeyError, match="lack feat_pyramid"):
        ARCHITECTURES["fine"].begin(finer, state)


def test_the_score_is_of_the_network_as_it_is_used() -> None:
    """A UPR-Net with the packaged model's number of levels, for any number in training; weights are shared."""
    architecture = ARCHITECTURES["uprnet"]
    network = architecture.fresh(width=4)
    levels = {size: architecture.used(network, size).levels for size in (SIZE, (1280, 720))}
    assert levels == {SIZE: (3, 2, 1, 0), (1280, 720): (5, 4, 3, 2, 1, 0)}
    assert network.levels == (2, 1, 0)
    other = ARCHITECTURES["ifrnet"]
    assert other.used(network, SIZE) is network
