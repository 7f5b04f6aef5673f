"""The training program on tiny runs: resuming, several processes, weights that `load_model` takes, sources."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, multiprocessing

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from PIL import Image

from scripts.evaluate.flow_files import write_flow
from scripts.train import __main__ as program
from scripts.train.augment import TRANSFORMS, Clip, enlarge, reduce, rotate
from scripts.train.build import build_form
from scripts.train.recipe import fine_tuned
from scripts.train.recipes import RECIPES
from scripts.train.run import Run, Settings
from scripts.train.sources import video
from scripts.train.sources.procedural import Procedural
from scripts.train.sources.published import Curriculum, Flows, GoPro, Quintuplets, Septuplets, Vimeo, XTrain, stage
from scripts.train.sources.source import Samples, Share, batches
from vsvfi.cli import main as cli
from vsvfi.engine.model import load_model
from vsvfi.models.registry import find
from vsvfi.ops.warp import backward_warp

TINY = ["--total-batch", "2", "--crop", "64", "--every", "2", "--held", "4"]


def _train(out: Path, *more: str, recipe: str = "builtin_uprnet") -> int:
    return program.main([recipe, "--data", "procedural", "2", "2", "--out", str(out), "--steps", "4", *TINY, *more])


def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path: Path) -> None:
    assert _train(tmp_path / "whole") == 0
    assert _train(tmp_path / "parted", "--until", "2") == 0
    assert _train(tmp_path / "parted", "--resume", "--batch", "2") == 0
    whole, parted = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "parted"))
    assert whole["step"] == parted["step"] == 4
    assert all(torch.equal(value, parted["form"][name]) for name, value in whole["form"].items())
    one, other = (run["optimisers"][0]["state"] for run in (whole, parted))
    assert all(torch.equal(one[key]["exp_avg_sq"], other[key]["exp_avg_sq"]) for key in one)
    assert (tmp_path / "whole" / "curve.csv").read_text() == (tmp_path / "parted" / "curve.csv").read_text()


def test_weights_are_loaded_by_the_plugin_and_carry_their_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(tmp_path, "--until", "2", "--weights", "published") == 0
    assert "licence: the weights it begins with state: MIT" in capsys.readouterr().err
    written = tmp_path / "weights.safetensors"
    for name in ("weights.safetensors", "weights.pth"):
        made = load_model("builtin", weights=tmp_path / name)(torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64))
        assert made.shape == (1, 3, 64, 64)
    published = torch.load(tmp_path / "weights.pth", weights_only=True)
    assert all(name.startswith("module.") for name in published)
    assert cli(["models", "--weights", str(written), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["recipe"] == "builtin_uprnet"
    assert record["steps"] == 2
    assert record["licence"] == "the weights it begins with state: MIT"
    assert record["began_with"][0]["record"]["seed"] == 6
    assert cli(["models", "--weights", str(written)]) == 0
    assert "recipe: builtin_uprnet\n" in capsys.readouterr().out
    assert cli(["models", "--weights", str(tmp_path / "weights.pth")]) == 2
    assert "holds no record" in capsys.readouterr().err


def _gradients(worker: int, workers: int, address: str, target: str) -> None:
    """Run one step and store its gradients."""
    torch.set_num_threads(1)
    if workers > 1:
        distributed.init_process_group("gloo", init_method=f"file://{address}", rank=worker, world_size=workers)
    recipe = replace(RECIPES["builtin_uprnet"], batch=4, crop=64)
    torch.manual_seed(0)
    form = build_form(recipe)
    form.initialise()
    source = Procedural(64, 1, middle_only=False, images=(2, 2))
    subject = Run(recipe, form, source, Settings(out=Path(), steps=4, batch=2 if workers > 1 else 4))
    samples = Samples(source, recipe.augmentation, 64, 1)
    subject.advance([next(batches(samples, subject.share, 0, 1, 0))])
    if worker == 0:
        torch.save({name: weight.grad for name, weight in subject.trained.items()}, target)
    if workers > 1:
        distributed.destroy_process_group()


def test_two_processes_have_the_gradients_of_one_with_the_double_batch(tmp_path: Path) -> None:
    _gradients(0, 1, "", str(tmp_path / "one.pt"))
    multiprocessing.spawn(_gradients, (2, str(tmp_path / "meet"), str(tmp_path / "two.pt")), nprocs=2)
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one.pt", "two.pt"))
    for name, gradient in one.items():
        assert float((gradient - two[name]).norm()) <= 1e-4 * float(gradient.norm()) + 1e-9, name


def test_accumulated_parts_have_the_samples_of_the_whole_batch() -> None:
    whole = Share(8, 8).numbers(3, 0)
    parts = [Share(8, 2, worker, 2).numbers(3, part) for part in range(2) for worker in range(2)]
    assert [number for part in parts for number in part] == whole == list(range(24, 32))


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["ifrnet_s", "--data", "gopro", "x"], "--data=gopro, ifrnet_s takes vimeo, procedural, video"),
        (["ifrnet_s", "--data", "nowhere"], "nowhere does not exist; check the path"),
        (["ifrnet_s", "--data", "video", "show.mkv"], "fine-tunes weights; name them with --weights"),
        (["gimm", "--data", "video", "show.mkv"], "is not offered"),
        (["ifrnet_s", "--data", "procedural", "0", "2"], "give nothing more, or the numbers"),
        (["gimmvfi_r_p", "--data", "procedural", "1", "1"], "this recipe needs torchvision's AlexNet"),
        (["ifrnet_s", "--data", "procedural", "1", "1", "--batch", "5"], "must be a multiple of it"),
        (["ifrnet_s", "--data", "procedural", "1", "1", "--resume"], "start without --resume"),
    ],
)
def test_a_wrong_command_says_what_to_do(
    words: list[str], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main([*words, "--out", str(tmp_path / "out")]) == 1
    assert fault in capsys.readouterr().err


def test_recipes_name_models_and_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--list"]) == 0
    listed = capsys.readouterr().out
    for name, recipe in RECIPES.items():
        assert f"\n{name} " in listed
        assert find(recipe.model)
        assert all(step.name in (*TRANSFORMS, "rotate") for step in recipe.augmentation)


def test_fine_tuning_keeps_the_ratio_of_the_rates() -> None:
    recipe = fine_tuned(RECIPES["gimmvfi_r"])
    rates = [[recipe.schedule.rate(step, 4000, group.rate) for group in recipe.groups] for step in (100, 3999)]
    assert all(fast / slow == pytest.approx(100) for fast, slow in rates)
    assert rates[1][0] == pytest.approx(0.1 * 8e-6, rel=1e-3)


# --- data


@pytest.mark.parametrize("change", [*TRANSFORMS.values(), lambda clip: rotate(clip, 1), lambda clip: rotate(clip, 3)])
def test_flow_still_leads_to_the_same_colour_after_a_transform(change: Callable[[Clip], Clip]) -> None:
    """A smooth image that moves by a constant flow; every transform must keep warped frame and target equal."""
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")

    def shown(x: float, y: float) -> Tensor:
        return torch.stack([torch.sin((columns - x) / (7 + c)) + torch.cos((rows - y) / 9) for c in range(3)])

    flow = torch.tensor([-2.0, 1.0, 2.0, -1.0]).view(4, 1, 1).expand(4, 32, 40)
    clip = Clip(torch.stack((shown(-2, 1), shown(0, 0), shown(2, -1))), (0.5,), flow, 2 * flow[[2, 3, 0, 1]])
    made = change(clip)
    assert made.flow is not None
    assert made.motion is not None
    for frame, part in ((made.frames[:1], made.flow[:2]), (made.frames[2:], made.flow[2:])):
        edge = 8 if made.flow.shape[1] > 16 else 4
        apart = (backward_warp(frame, part[None])[0] - made.frames[1])[:, edge:-edge, edge:-edge]
        assert float(apart.abs().max()) < 0.03
    assert torch.allclose(made.motion, 2 * made.flow[[2, 3, 0, 1]])
    assert reduce(enlarge(clip)).frames.shape == clip.frames.shape


def _image(path: Path, value: int, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def _values(clip: Clip) -> list[int]:
    return [round(float(frame[:, 0, 0].mean()) * 255) for frame in clip.frames]


def test_published_sets_are_read_from_their_layouts(tmp_path: Path) -> None:
    triplets, septuplets = tmp_path / "vimeo_triplet", tmp_path / "vimeo_septuplet"
    for root, prefix, count in ((triplets, "tri", 3), (septuplets, "sep", 7)):
        for k in range(1, count + 1):
            _image(root / "sequences" / "0001" / "0001" / f"im{k}.png", 20 * k)
        for part in ("train", "test"):
            (root / f"{prefix}_{part}list.txt").write_text("0001/0001\n\n")
    random = np.random.default_rng(0)
    assert not Vimeo(triplets).taught
    fields = {"flow": ("flow_t0", "flow_t1"), "flow_sequences": Flows.NAMES}
    for folder, names in fields.items():
        (triplets / folder / "0001" / "0001").mkdir(parents=True)
        for index, name in enumerate(names):
            write_flow(triplets / folder / "0001" / "0001" / f"{name}.flo", torch.full((1, 2, 48, 64), float(index)))
    taught = Vimeo(tmp_path).draw(0, 0, random)
    assert _values(taught) == [20, 40, 60]
    assert taught.flow is not None
    assert taught.flow[:, 0, 0].tolist() == [0, 0, 1, 1]
    stored = Flows(triplets).draw(0, 0, random)
    assert stored.motion is not None
    assert stored.motion[:, 0, 0].tolist() == [2, 2, 3, 3]
    drawn = Septuplets(septuplets).draw(0, 0, random)
    first, middle, last = _values(drawn)
    assert drawn.t == ((middle - first) / (last - first),)
    assert _values(Septuplets(septuplets, middle=True).draw(0, 0, random)) == [60, 80, 100]
    for folder in ("GOPR0372_07_00", "GOPR0384_11_00"):
        for k in range(17):
            _image(tmp_path / "gopro" / folder / f"{k:06d}.png", k)
    gopro = GoPro(tmp_path / "gopro")
    assert (len(gopro), gopro.targets) == (2, 7)
    assert _values(gopro.draw(1, 0, random)) == list(range(8, 17))
    for k in range(65):
        _image(tmp_path / "xtrain" / "001" / "occ001" / f"{k:04d}.png", k)
    first, middle, last = _values(XTrain(tmp_path / "xtrain").draw(0, 0, random))
    assert middle - first == last - middle > 0
    curriculum = Curriculum(triplets, tmp_path / "xtrain")
    assert [stage(epoch) for epoch in (0, 49, 50, 299)] == [0, 0, 1, 5]
    assert {curriculum.draw(0, 0, random).frames.shape[-1] for _ in range(8)} == {64}
    assert {curriculum.draw(0, 60, random).frames.shape[-1] for _ in range(16)} == {64, 256}
    strip = np.concatenate([np.full((8, 8, 3), value, np.uint8) for value in (1, 3, 5, 7, 4)], 1)
    (tmp_path / "bvidvc" / "quintuplets" / "00000").mkdir(parents=True)
    Image.fromarray(strip).save(tmp_path / "bvidvc" / "quintuplets" / "00000" / "quintuplet.png")
    quintuplets = Quintuplets(tmp_path)
    assert len(quintuplets) == 2
    assert _values(quintuplets.draw(0, 0, random)) == [3, 4, 5]


def _decoded(**facts: Any) -> video.Decoded:
    known = {"file": "", "count": 40, "height": 64, "width": 64, "rate": 24.0, "parts": [0], "cuts": [19]}
    return video.Decoded(**{**known, "means": [0.5] * 40, "steps": [0.05] * 40, **facts})


def test_windows_leave_out_still_parts_flashes_and_cuts() -> None:
    assert video.scenes_of(_decoded()) == [(0, 20), (20, 40)]
    whole = list(video.windows_of(_decoded(), 0, (0, 20), (1,)))
    assert [window.start for window in whole] == list(range(18))
    held = _decoded(steps=[0.05, 0.0] * 20)
    assert not list(video.windows_of(held, 0, (0, 20), (1,)))
    flash = _decoded(means=[0.5] * 10 + [0.9] + [0.5] * 29)
    assert [w.start for w in whole if w not in list(video.windows_of(flash, 0, (0, 20), (1,)))] == [9]
    fast = list(video.windows_of(_decoded(rate=60.0), 0, (0, 20), (1,)))
    assert {window.spacing for window in fast} == {1, 2}


def test_own_video_is_split_into_scenes_and_fine_tunes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show = pytest.importorskip("scripts.train.show")
    pytest.importorskip("av")
    clip = tmp_path / "show.mp4"
    show.render(clip, 3, (128, 96))
    source = video.Video([clip], tmp_path / "frames", 64, middle_only=False, limit=1 << 28)
    assert [end - begin for _, (begin, end) in (*source.scenes, *source.held)] == [24, 24, 24]
    assert len(source.held) == 1
    (shown,) = source.videos
    assert shown.count == 72
    limited = video.decode(clip, tmp_path / "less", 64 * 128 * 96 * 3)
    assert limited.count <= 64
    words = ["--data", "video", str(clip), "--general", "none", "--out", str(tmp_path / "out")]
    assert program.main(["builtin_uprnet", *words, "--weights", "published", "--steps", "2", *TINY]) == 0
    assert "over the start" in capsys.readouterr().err
    assert (tmp_path / "out" / "weights.safetensors").is_file()
