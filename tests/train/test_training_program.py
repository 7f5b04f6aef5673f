"""The training program on tiny runs: resuming, several processes, weights that `load_model` takes, sources."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")


from scripts.train import __main__ as program
from scripts.train.augment import TRANSFORMS
from scripts.train.build import build_form
from scripts.train.recipe import fine_tuned
from scripts.train.recipes import RECIPES
from scripts.train.run import Run, Settings
from scripts.train.sources.procedural import Procedural
from scripts.train.sources.source import Samples, Share, batches
from vsvfi.cli import main as cli
from vsvfi.engine.model import load_model
from vsvfi.models.registry import find

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
