"""The scoring programs: their measures on cases with known answers, and one small run."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from scripts.evaluate import figure, quality, temporal
from vsvfi.compare.minterpolate import minterpolate
from vsvfi.ops.warp import backward_warp
from vsvfi.synthetic import scene
from vsvfi.synthetic.captions import SPEEDS, scrolling_captions


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.5, -0.75), (-4.0, 2.0)])
def test_optical_flow_finds_a_shift(x: float, y: float) -> None:
    noise = torch.rand(1, 1, 16, 20, generator=torch.Generator().manual_seed(3))
    first = functional.interpolate(noise, size=(128, 160), mode="bicubic").clamp(0, 1)
    shift = torch.tensor([x, y]).reshape(1, 2, 1, 1).expand(1, 2, 128, 160)
    flow = temporal.optical_flow(first, backward_warp(first, -shift))[..., 16:-16, 16:-16]
    assert float((flow - shift[..., 16:-16, 16:-16]).abs().mean()) < 0.1


def test_minterpolate_lines_up() -> None:
    pytest.importorskip("imageio_ffmpeg", reason="needs the extra `video`")
    shown = scene(5, 96, 64, kind="mixed")
    drawn = [np.ascontiguousarray(shown.frame(3.0 + step / 2)) for step in range(9)]
    made = minterpolate(drawn[::2], 2)
    assert len(made) == len(drawn)
    for index in range(0, 9, 2):
        assert float(np.abs(made[index] - drawn[index]).mean()) < 2 / 255
    assert all(float(np.abs(made[index] - drawn[index]).mean()) < 0.05 for index in range(1, 9, 2))


def test_methods_are_scored_over_time(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="needs the extra `video`")
    assert temporal.main(["--scenes", "1", "--sources", "2", "--size", "96", "64", "--device", "cpu"]) == 0
    methods = json.loads(capsys.readouterr().out.splitlines()[-1])["methods"]
    assert set(methods) == {"repeat", "blend", "minterpolate", "model"}
    assert all(len(found["psnr"]) == 7 for found in methods.values())
    assert methods["model"]["flicker"] < methods["repeat"]["flicker"]
    assert methods["model"]["psnr"][3] > methods["blend"]["psnr"][3]


def test_the_figure_shows_the_truth_first_and_every_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="needs the extra `video`")
    monkeypatch.setattr(figure, "_WIDTH", 96)
    monkeypatch.setattr(figure, "_HEIGHT", 64)
    monkeypatch.setattr(figure, "SHOWN", (("flat", 1), ("mixed", 0)))
    monkeypatch.chdir(tmp_path)
    assert figure.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["mixed", "flat"]
    assert all("blend" in line and "minterpolate" in line and "builtin" in line for line in lines)
    (drawn,) = quality.decode(tmp_path / "comparison.jpg")
    assert drawn.shape == (3, 2 * 68 - 4, 4 * 100 - 4)
    (truth,) = (
        question.truth for question in quality.synthetic_questions(2, 96, 64, only={("flat", 1)}) if question.t == 0.5
    )
    assert float(np.abs(drawn[:, :64, :96] - truth[0].numpy()).mean()) < 0.02  # the first of SHOWN is the upper row


def test_dis_follows_what_moves() -> None:
    """A textured image that slides by: warped, it is found where blending doubles it; a missing OpenCV skips it."""
    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    from scripts.train.heldout import psnr
    from vsvfi.compare.dis_flow import MISSING, dis

    assert MISSING == ""
    wide = torch.nn.functional.interpolate(
        torch.rand((1, 3, 24, 40), generator=torch.Generator().manual_seed(0)), scale_factor=6, mode="bicubic"
    )
    wide = wide.clamp(0, 1)
    first, truth, second = (wide[..., 16 - shift : 208 - shift] for shift in (0, 4, 8))
    assert psnr(dis(first, second, 0.5), truth) > psnr((first + second) / 2, truth) + 5


def test_dis_is_left_out_with_a_reason(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(quality, "MISSING", "opencv-python-headless is not installed (extra `evaluate`)")
    monkeypatch.setattr(quality, "predictor", lambda *arguments: lambda first, second, t: first)
    monkeypatch.setattr(quality, "still_questions", lambda *size: iter(()))
    assert quality.main(["--scenes", "1", "--size", "64", "64", "--dis"]) == 0
    shown = capsys.readouterr()
    assert "DIS is left out: opencv-python-headless is not installed" in shown.err
    assert '"dis"' not in shown.out


def test_minterpolate_is_asked_for_the_middle_of_moving_text() -> None:
    """Its answer is nearer to the middle frame than either of the two is."""
    pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed (extra `video`)")
    from scripts.train.heldout import psnr

    question = next(quality.text_questions(1, 160, 96, compare=True))
    assert question.minterpolate is not None
    assert psnr(question.minterpolate, question.truth) > psnr(question.first, question.truth) + 1


def test_only_every_so_many_th_frame_is_predicted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images = [torch.full((3, 8, 8), 0.1 * index) for index in range(10)]
    asked: list[float] = []

    def predict(first: torch.Tensor, second: torch.Tensor, t: float) -> torch.Tensor:
        asked.append(round(10 * float(first.mean()) + 1))
        return first

    monkeypatch.setattr(quality, "predictor", lambda *arguments: predict)
    monkeypatch.setattr(quality, "decode", lambda path: [image.numpy() for image in images])
    given = ["--scenes", "0", "--video", str(tmp_path / "a.mp4"), "--range", "1", "9"]
    assert quality.main([*given, "--every", "3"]) == 0
    assert asked == [1, 7]
    assert '"frames": 2' in capsys.readouterr().out


@pytest.mark.parametrize("speed", SPEEDS)
def test_captions_move_by_their_speed_and_nothing_else_does(speed: int) -> None:
    """The middle frame's text is half as far; the right border aside, where new letters come in."""
    before, middle, after = scrolling_captions(160, 90, speed, 1, 0)
    assert (before[:, :20] == after[:, :20]).all()
    assert not (before == after).all()
    text = [(image[:, -33:-12] == np.float32(0.95)).all(0) for image in (before, middle, after)]
    assert 0.05 < text[0].mean() < 0.5
    assert (text[0][:, speed:] == text[2][:, :-speed]).all()
    if speed % 2 == 0:
        assert (text[0][:, speed // 2 :] == text[1][:, : -(speed // 2)]).all()


@pytest.mark.parametrize(
    ("script", "arguments", "option"),
    [
        ("quality", ["--model", "ifrnet"], ", pass a file with --checkpoint, or use --model builtin"),
        ("figure", ["--model", "ifrnet", "--out", "figure.jpg"], " network access, or use --model builtin"),
        ("temporal", ["--model", "ifrnet"], " network access, or use --model builtin"),
        ("make_flows", ["vtf", "--data", "."], "allow downloads, or pass a file with --weights"),
    ],
)
def test_missing_weights_are_one_line_with_the_scripts_own_option(
    script: str,
    arguments: list[str],
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VSVFI_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    if script == "make_flows":
        pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")
    program = importlib.import_module(f"scripts.evaluate.{script}")
    if script == "make_flows":
        images = tmp_path / "im1.png", tmp_path / "im3.png"
        monkeypatch.setattr(program, "missing_flows", lambda *_: [program.Missing(images, None, None)])
        for image in images:
            image.touch()
    assert program.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert option in error
