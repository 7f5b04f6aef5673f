"""The training program on tiny runs: resuming, several processes, weights that `load_model` takes, sources."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")


from scripts.train import __main__ as program
from scripts.train import report, run
from scripts.train.augment import TRANSFORMS
from scripts.train.checkpoint import save
from scripts.train.recipe import fine_tuned
from scripts.train.recipes import RECIPES
from scripts.train.sources.source import Share
from tests.train.gradients import gradients
from vsvfi.cli import main as cli
from vsvfi.engine.model import load_model
from vsvfi.models.registry import find
from vsvfi.weights.fetch import fetch
from vsvfi.weights.load import load_state

TINY = ["--total-batch", "2", "--crop", "64", "--every", "1", "--held", "1"]


def _train(out: Path, *more: str, recipe: str = "builtin_uprnet") -> int:
    return program.main([recipe, "--data", "procedural", "2", "2", "--out", str(out), "--steps", "2", *TINY, *more])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    assert _train(folder, "--weights", "published") == 0
    return folder


def test_a_killed_run_goes_on_from_its_last_checkpoint_to_the_same_bits(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[tuple[str, float, int]] = []

    class Board:
        def add_scalar(self, name: str, value: float, step: int) -> None:
            shown.append((name, value, step))

        def close(self) -> None:
            shown.append(("closed", 0, 0))

    def killed(path: Path, state: Mapping[str, Any]) -> None:
        if state["step"] == 2:
            path.with_name(".last.pt.1.part").write_bytes(b"half")
            raise KeyboardInterrupt
        save(path, state)

    with monkeypatch.context() as patched:
        patched.setattr(run, "save", killed)
        patched.setattr(report, "_board", lambda folder: Board())
        assert _train(tmp_path, "--weights", "published") == 130
    assert "--resume goes on from the last checkpoint" in capsys.readouterr().err
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 1
    assert [step for name, _, step in shown if name == "charbonnier"] == [1, 2]  # what TensorBoard gets
    curve = (whole / "curve.csv").read_text()
    assert (tmp_path / "curve.csv").read_text() == curve  # written before the checkpoint, and not to be there twice

    assert _train(tmp_path, "--resume", "--batch", "2", "--workers", "1") == 0
    assert "licence: the weights it begins with state: MIT" in capsys.readouterr().err
    one, other = (torch.load(folder / "last.pt", weights_only=True) for folder in (whole, tmp_path))
    assert one["step"] == other["step"] == 2
    assert all(torch.equal(value, other["form"][name]) for name, value in one["form"].items())
    moments, others = (state["optimisers"][0]["state"] for state in (one, other))
    assert all(torch.equal(moments[key]["exp_avg_sq"], others[key]["exp_avg_sq"]) for key in moments)
    assert (tmp_path / "curve.csv").read_text() == curve
    assert not list(tmp_path.glob(".*"))


def test_weights_without_a_search_are_tuned_without_one(whole: Path, tmp_path: Path) -> None:
    state = load_state(whole / "weights.safetensors")
    plain = {name: weight for name, weight in state.items() if not name.startswith("choice.")}
    save_file(plain, tmp_path / "plain.safetensors")
    begin = ["--weights", str(tmp_path / "plain.safetensors"), "--until", "1"]
    assert _train(tmp_path / "out", *begin) == 0
    assert _train(tmp_path / "out", "--resume") == 0
    assert load_state(tmp_path / "out" / "weights.safetensors").keys() == plain.keys()


def test_weights_are_loaded_by_the_plugin_and_carry_their_record(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = whole / "weights.safetensors"
    for name in ("weights.safetensors", "weights.pth"):
        made = load_model("builtin", weights=whole / name)(torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64))
        assert made.shape == (1, 3, 64, 64)
    _, variant = find("builtin")  # what a search uses is trained and kept
    packaged = load_state(fetch("builtin", variant.sources, licence=variant.licence))
    tuned = load_state(written)
    assert tuned.keys() == packaged.keys()
    for name in ("choice.pred.weight", "synthesis_network.pred.weight"):
        assert not torch.equal(tuned[name], packaged[name])
    published = torch.load(whole / "weights.pth", weights_only=True)
    assert all(name.startswith("module.") for name in published)
    assert cli(["models", "--weights", str(written), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["recipe"] == "builtin_uprnet"
    assert record["steps"] in (1, 2)
    assert record["licence"] == "the weights it begins with state: MIT"
    assert "seed" in record["began_with"][0]["record"]
    assert cli(["models", "--weights", str(written)]) == 0
    assert "recipe: builtin_uprnet\n" in capsys.readouterr().out
    assert cli(["models", "--weights", str(whole / "weights.pth")]) == 2
    assert "holds no record" in capsys.readouterr().err


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    return gradients(2)


def test_two_processes_and_accumulated_parts_have_the_gradients_of_the_whole_batch(
    expected: dict[str, Tensor], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.train.gradients", "1", "2", str(tmp_path / "meet")]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as second:
        parted = gradients(1)
        distributed = gradients(1, 0, 2, str(tmp_path / "meet"))
        assert second.wait(120) == 0
    assert len(expected) > 50
    for found in (parted, distributed):
        for name, gradient in expected.items():
            assert float((gradient - found[name]).norm()) <= 1e-4 * float(gradient.norm()) + 1e-9, name


def test_bfloat16_layers_train_float32_weights(expected: dict[str, Tensor]) -> None:
    rounded = gradients(2, bfloat=True)
    assert all(gradient.dtype == torch.float32 for gradient in rounded.values())
    assert rounded["total"] != expected["total"]
    assert float(rounded["total"]) == pytest.approx(float(expected["total"]), rel=0.02)


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
        (["--seed", "2", "builtin"], "builtin, has options of its own; write it first"),
        (["builtin", "--weights", "nowhere.safetensors"], "nowhere.safetensors, there is no such file; check the path"),
        (["ifrnet_s", "--data", "procedural", "--perceptual", "none"], "ifrnet_s cannot go without its losses"),
        (["ifrnet_s", "--data", "procedural", "--exact", "--crop", "64"], "--exact, --crop changes the published run"),
        (["ifrnet_s", "--data", "procedural", "--rate", "2"], "--rate=2.0, must be above 0 and below 1"),
        (
            ["gimmvfi_r", "--data", "procedural", "1", "1", "--steps", "2"],
            "begins with the published flow estimator and the motion",
        ),
        (["ifrnet_s", "--data", "procedural", "1", "1"], "has no end; pass --steps"),
        (["ifrnet_s", "--data", "procedural", "0", "2"], "give nothing more, or the numbers"),
        (["gimmvfi_r_p", "--data", "procedural", "1", "1", "--steps", "2"], "this recipe needs torchvision's AlexNet"),
        (["ifrnet_s", "--data", "procedural", "1", "1", "--steps", "2", "--batch", "5"], "must be a multiple of it"),
        (["ifrnet_s", "--data", "procedural", "1", "1", "--steps", "2", "--resume"], "start without --resume"),
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
