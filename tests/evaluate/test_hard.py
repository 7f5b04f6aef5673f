"""Trials of what interpolation fails on: they move as they say, and are scored where they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from scripts.evaluate import hard, trials
from scripts.evaluate.trials import Trial
from scripts.train.architectures import ARCHITECTURES
from scripts.train.heldout import psnr


def test_letters_on_a_bar_move_by_half_the_speed() -> None:
    (trial,) = trials.captions("bar", (17,), (6,))
    rows = trial.window[0]
    first, truth, second = (image[..., rows, :] for image in (trial.first, trial.truth, trial.second))
    assert torch.equal(first[..., 3:], truth[..., :-3])
    assert torch.equal(truth[..., 3:], second[..., :-3])
    assert 0.05 < float((truth > 0.5).float().mean()) < 0.5
    above = slice(0, rows.start)
    assert not torch.equal(trial.first[..., above, :], trial.second[..., above, :])


def test_letters_move_and_a_still_ground_does_not() -> None:
    (trial,) = trials.captions("still", (17,), (11,))
    outside = slice(0, trial.window[0].start)
    assert torch.equal(trial.first[..., outside, :], trial.second[..., outside, :])
    assert not torch.equal(trial.first, trial.second)


@pytest.mark.parametrize("draw", [trials.balls, trials.cars, trials.runners, trials.flat_shapes, trials.combs])
def test_what_moves_is_within_the_window(draw: object) -> None:
    """Most of what blending gets wrong lies within the window, and there is something to get wrong."""
    assert callable(draw)
    trial: Trial = next(draw())
    rows, columns = trial.window
    wrong = (hard.blend(trial.first, trial.second, trial.t) - trial.truth).abs()
    assert (
        float(wrong[..., rows, columns].mean()) > float(wrong.mean()) or wrong.shape == wrong[..., rows, columns].shape
    )
    assert psnr((trial.first + trial.second) / 2, trial.truth) < 45
    assert trial.group in hard.GROUPS


def test_scores_sharpness_and_pictures_of_each_method(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(1)
    truth, wrong = (torch.rand(1, 3, 16, 24, generator=generator) for _ in range(2))
    truth = (truth * 255).round() / 255
    window = (slice(4, 12), slice(None))
    first = torch.cat((wrong[..., :4, :], truth[..., 4:12, :], wrong[..., 12:, :]), 2)

    def two() -> Iterator[Trial]:
        yield Trial("unseen", "a", first, truth, truth, 0.5, window)
        yield Trial("combs", "b", wrong, wrong, truth, 0.25)

    monkeypatch.setattr(hard, "everything", two)
    monkeypatch.setattr(hard, "predictor", lambda *arguments: lambda before, after, t: before)
    monkeypatch.setattr(hard, "MISSING", "no OpenCV")
    out = tmp_path / "scores.json"
    assert hard.main(["--model", "copy", "--json", str(out), "--pictures", str(tmp_path / "p")]) == 0
    shown = capsys.readouterr()
    assert "DIS is left out: no OpenCV" in shown.err
    assert [line.split()[0] for line in shown.out.splitlines()[1:]] == [
        "unseen",
        "combs",
        "sharpness",
        "flicker",
        "seconds",
    ]
    found = json.loads(out.read_text())
    assert found["psnr"]["copy"]["unseen"]["a"] == 99  # right in the window, wrong around it
    assert found["psnr"]["copy"]["combs"]["b"] == pytest.approx(psnr((wrong * 255).round() / 255, truth), abs=1e-3)
    assert found["other"]["copy"]["sharpness"] == 1
    assert found["other"]["blend"]["flicker"] > 0
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["combs-b.png", "unseen-a.png"]
    assert hard.main(["--model", "copy", "--only", "combs"]) == 0
    assert "unseen" not in capsys.readouterr().out


def test_a_checkpoint_is_padded_and_cropped(tmp_path: Path) -> None:
    network = ARCHITECTURES["uprnet"].fresh(width=2)
    state = {"architecture": "uprnet", "config": {"width": 2}, "average": network.state_dict()}
    torch.save(state, tmp_path / "last.pt")
    predict = hard.trained(tmp_path / "last.pt", "fp32")
    image = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(2))
    made: Tensor = predict(image, image, 0.5)
    assert made.shape == image.shape
    assert float((made - image).abs().max()) < 1e-3  # a fresh network blends
