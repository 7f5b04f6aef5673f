"""The benchmark on miniature data sets, against values that the tests compute themselves from the files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from scripts.evaluate import benchmark, motion_model
from scripts.evaluate.datasets import SETS
from scripts.evaluate.flow_files import read_flow
from tests import fakes
from tests.evaluate import layouts
from tests.models.goldens import golden, recipe
from vsvfi.metrics import FloLpips, Lpips

type Floats = NDArray[np.float64]


@pytest.fixture
def measure(
    tmp_path: Path, fake_family: fakes.Recorder, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Runs the benchmark with the blending model; returns its JSON."""

    def call(name: str, root: Path, *further: str, model: str = "fake", code: int = 0) -> dict[str, Any]:
        command = [name, "--data", str(root), "--results", str(tmp_path / "results"), "--device", "cpu", *further]
        if model:
            command += ["--model", model]
            if model.startswith("fake"):
                command += ["--weights", str(fake_family.weights)]
        assert benchmark.main(command) == code
        shown = capsys.readouterr()
        if code:
            return {"error": shown.err}
        found: dict[str, Any] = json.loads(shown.out.splitlines()[-1])
        return {**found, "table": shown.out, "log": shown.err}

    return call


def psnr(prediction: Floats, truth: Floats) -> float:
    return float(-10 * np.log10(np.mean((prediction - truth) ** 2)))


def halved(image: Floats) -> Floats:
    summed: Floats = image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]
    return summed


def shown(name: str, split: str, path: Path, crop: int = 0) -> Floats:
    """What a set shows of a picture, [H, W, 3] in [0, 1]: written anew from the specification."""
    image = layouts.load(path).astype(np.float64)
    height, width, _ = image.shape
    if name in ("xtest", "xtest_l") and split == "2k":
        return halved(image) / 4 / 255
    if name == "xiph" and split == "2k":
        return (halved(image) + 2) // 4 / 255
    if (name == "xiph" and split == "4k") or "4K" in path.parent.name:
        return image[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] / 255
    if crop:
        top, left = (height - crop) // 2, (width - crop) // 2
        return image[top : top + crop, left : left + crop] / 255
    return image / 255


def expected(name: str, split: str, triplets: list[tuple[Path, Path, Path, float]], crop: int = 0) -> list[float]:
    """PSNR of blending for (first, second, truth, t)."""
    found = []
    for first, second, truth, t in triplets:
        before, after, true = (shown(name, split, path, crop) for path in (first, second, truth))
        found.append(psnr((1 - t) * before + t * after, true))
    return found


def listed(name: str, root: Path) -> dict[str, list[tuple[Path, Path, Path, float]]]:
    """(first, second, truth, t) of every split, by folder names alone."""
    if name == "vimeo90k":
        clips = [root / "sequences" / entry for entry in ("00001/0389", "00001/0402")]
        return {"all": [(clip / "im1.png", clip / "im3.png", clip / "im2.png", 0.5) for clip in clips]}
    if name == "vimeo90k_septuplet":
        clips = [root / "sequences" / entry for entry in ("00001/0266", "00001/0268")]
        return {
            "all": [
                (clip / "im1.png", clip / "im7.png", clip / f"im{k}.png", (k - 1) / 6)
                for clip in clips
                for k in range(2, 7)
            ]
        }
    if name == "ucf101":
        samples = [root / "ucf101_interp_ours" / sample for sample in ("1", "10", "101")]
        names = "frame_00.png", "frame_02.png", "frame_01_gt.png"
        return {"dvf": [(sample / names[0], sample / names[1], sample / names[2], 0.5) for sample in samples]}
    if name.startswith("snu_film"):
        clip = root / "test" / "GOPRO_test" / "GOPR0384_11_00"
        steps = {"easy": 2, "medium": 4, "hard": 8, "extreme": 16}

        def frame(number: int) -> Path:
            return clip / f"{number:06d}.png"

        if name == "snu_film":
            return {level: [(frame(1), frame(1 + s), frame(1 + s // 2), 0.5)] for level, s in steps.items()}
        return {
            level: [(frame(1), frame(1 + s), frame(1 + k), k / s) for k in range(1, s)]
            for level, s in steps.items()
            if level != "easy"
        }
    if name.startswith("xtest"):
        scenes = [root / "test" / scene for scene in ("Type1/TEST01_a", "Type2/TEST06_b")]
        offsets = range(4, 32, 4) if name == "xtest" else (16,)
        rows = [
            (scene / "0000.png", scene / "0032.png", scene / f"{k:04d}.png", k / 32)
            for scene in scenes
            for k in offsets
        ]
        return {"2k": rows, "4k": rows}
    if name == "xiph":
        clip = "BoxingPractice"
        rows = [
            (root / f"{clip}-{k - 1:03d}.png", root / f"{clip}-{k + 1:03d}.png", root / f"{clip}-{k:03d}.png", 0.5)
            for k in range(2, 99, 2)
        ]
        rows += [
            (root / f"{clip}-001.png", root / f"{clip}-003.png", root / f"{clip}-002.png", 0.5)
            for clip in sorted({path.stem[:-4] for path in root.iterdir()} - {clip})
        ]
        return {"2k": rows, "4k": rows}
    if name == "middlebury":
        return {
            "all": [
                (inputs / "frame10.png", inputs / "frame11.png", root / "other-gt-interp" / inputs.name / truth, 0.5)
                for inputs in (root / "other-data").iterdir()
                for truth in ("frame10i11.png",)
            ]
        }
    video = root / "GOPR0384_11_00"
    if name == "gopro":
        return {
            "all": [
                (video / f"{b:06d}.png", video / f"{b + 8:06d}.png", video / f"{b + k:06d}.png", k / 8)
                for b in (0, 8)
                for k in range(1, 8)
            ]
        }
    videos = [root / f"720p_240fps_{number}" for number in (1, 2)]
    return {
        "all": [
            (video / "00000.png", video / "00008.png", video / f"{k:05d}.png", k / 8)
            for video in videos
            for k in range(1, 8)
        ]
    }


@pytest.mark.parametrize("name", [name for name in SETS if name not in ("davis", "vfitex", "vtf", "vsf")])
def test_every_set_is_scored_as_computed_from_its_files(
    name: str, tmp_path: Path, measure: Callable[..., dict[str, Any]]
) -> None:
    layouts.DRAWN[name](tmp_path / "set")
    crop = 16 if name in ("gopro", "adobe240") else 0
    further = ["--crop", "16"] if crop else ["--skip-missing"] if name == "xiph" else []
    found = measure(name, tmp_path / "set", "--metrics", "psnr", *further)
    wanted = listed(name, tmp_path / "set")
    assert set(found["splits"]) == set(wanted)
    for split, triplets in wanted.items():
        scores = expected(name, split, triplets, crop)
        assert found["splits"][split]["pictures"] == len(scores)
        assert found["splits"][split]["scores"]["PSNR"]["value"] == pytest.approx(np.mean(scores), abs=1e-4)


@pytest.mark.parametrize(("name", "suffix", "counts"), [("davis", "jpg", (10, 8)), ("vfitex", "png", (9, 9))])
def test_sequences_are_averaged_first(
    name: str, suffix: str, counts: tuple[int, int], tmp_path: Path, measure: Callable[..., dict[str, Any]]
) -> None:
    layouts.DRAWN[name](tmp_path)
    origin, digits = (0, 5) if name == "davis" else (1, 3)
    root = tmp_path / ("davis90" if name == "davis" else "vfitex")
    averages, every = [], []
    for sequence, count in zip(sorted(root.iterdir()), counts, strict=True):
        rows = [
            (*(sequence / f"{j + k:0{digits}d}.{suffix}" for k in (2, 4, 3)), 0.5)
            for j in range(origin, origin + count - 6, 2)
        ]
        scores = expected(name, "all", rows)  # type: ignore[arg-type]
        averages.append(np.mean(scores))
        every += scores
    found = measure(name, tmp_path, "--metrics", "psnr")
    assert found["splits"]["all"]["scores"]["PSNR"]["value"] == pytest.approx(np.mean(averages), abs=1e-4)
    flat = measure(name, tmp_path, "--metrics", "psnr", "--no-per-sequence")
    assert flat["splits"]["all"]["scores"]["PSNR"]["value"] == pytest.approx(np.mean(every), abs=1e-4)


def ssim(prediction: Floats, truth: Floats) -> float:
    """Of pictures [H, W, 3] as volumes: every side continued by 5, a Gaussian of 11 taps along each axis."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    taps /= taps.sum()

    def filtered(volume: Floats) -> Floats:
        volume = np.pad(volume, 5, mode="edge")
        for axis in range(3):
            volume = np.apply_along_axis(np.convolve, axis, volume, taps, "valid")
        return volume

    m, n = filtered(prediction), filtered(truth)
    vp, vg = filtered(prediction**2) - m * m, filtered(truth**2) - n * n
    above = (2 * m * n + 1e-4) * (2 * (filtered(prediction * truth) - m * n) + 9e-4)
    return float(np.mean(above / ((m * m + n * n + 1e-4) * (vp + vg + 9e-4))))


def test_ssim_is_that_of_volumes(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.triplets(tmp_path)
    scores = []
    for first, second, truth, _ in listed("vimeo90k", tmp_path)["all"]:
        images = [layouts.load(path) / 255 for path in (first, second, truth)]
        scores.append(ssim((images[0] + images[1]) / 2, images[2]))
    found = measure("vimeo90k", tmp_path)["splits"]["all"]["scores"]
    assert found["SSIM"]["value"] == pytest.approx(np.mean(scores), abs=1e-6)


def test_rounding_is_to_nearest_before_the_metric(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.septuplets(tmp_path)
    for path in tmp_path.rglob("*.png"):  # blending gives 100.67, 101.33, 102, 102.67, 103.33
        value = {"im1": 100, "im7": 104}.get(path.stem, 110)
        Image.fromarray(np.full((16, 24, 3), value, np.uint8)).save(path)
    found = measure("vimeo90k_septuplet", tmp_path, "--metrics", "psnr", "ie", "--round")["splits"]["all"]
    errors = np.array([9, 9, 8, 7, 7])
    assert found["scores"]["PSNR"]["value"] == pytest.approx(np.mean(20 * np.log10(255 / errors)), abs=1e-4)
    assert found["scores"]["ie"]["value"] == pytest.approx(8, abs=1e-4)
    assert (found["protocol"]["rounding"], found["protocol"]["authors"]) == (True, False)
    plain = measure("vimeo90k_septuplet", tmp_path)["splits"]["all"]
    assert set(plain["scores"]) == {"PSNR", "SSIM"}
    errors = 10 - 4 * np.arange(1, 6) / 6
    assert plain["scores"]["PSNR"]["value"] == pytest.approx(np.mean(20 * np.log10(255 / errors)), abs=1e-4)


def test_models_of_midpoints_bisect(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.snu_film(tmp_path)
    found = measure("snu_film_arb", tmp_path, "--metrics", "psnr", "--split", "hard", model="fake_half")
    assert {detail for phase, detail in fakes.recorder.calls if phase == "synthesise"} == {0.5}
    (scores,) = ([*listed("snu_film_arb", tmp_path).items()][1][1],)
    assert found["splits"]["hard"]["scores"]["PSNR"]["value"] == pytest.approx(
        np.mean(expected("snu_film_arb", "hard", scores)), abs=1e-4
    )


def test_times_that_bisection_rounds_are_said(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.septuplets(tmp_path)
    arguments = ("vimeo90k_septuplet", tmp_path, "--metrics", "psnr")
    found = measure(*arguments, model="fake_half")
    assert "all: fake_half bisects, so that times are rounded to 1/16" in found["splits"]["all"]["warnings"]
    direct = measure(*arguments, "--times", "direct", model="fake_half")
    assert not any("bisects" in text for text in direct["splits"]["all"]["warnings"])
    assert direct["splits"]["all"]["scores"] != found["splits"]["all"]["scores"]


def test_a_run_goes_on_where_it_was(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.gopro_videos(tmp_path)
    arguments = ("gopro", tmp_path, "--metrics", "psnr", "--crop", "16", "--keep-last")
    trial = measure(*arguments, "--subset", "1")
    assert (trial["splits"]["all"]["items"], trial["splits"]["all"]["of_items"]) == (1, 3)
    assert "(of 3 items, 1)" in trial["table"]
    before = fakes.recorder.counts()["synthesise"]
    whole = measure(*arguments, "--store", str(tmp_path / "made"))
    assert fakes.recorder.counts()["synthesise"] - before == 21  # pictures are wanted of the first item too
    before = fakes.recorder.counts()["synthesise"]
    again = measure(*arguments, "--store", str(tmp_path / "made"))
    assert fakes.recorder.counts()["synthesise"] == before
    assert "3 of 3 were done before" in again["log"]
    assert again["splits"] == whole["splits"]
    (tmp_path / "made" / "all" / "GOPR0384_11_00_000001.png").unlink()
    measure(*arguments, "--store", str(tmp_path / "made"))
    assert fakes.recorder.counts()["synthesise"] == before + 7
    other = measure(*arguments, "--scale", "0.5")
    assert "done before" not in other["log"]
    assert other["splits"]["all"]["protocol"]["scale"] == 0.5


def test_predictions_are_stored_and_scored_without_a_model(
    tmp_path: Path, measure: Callable[..., dict[str, Any]]
) -> None:
    layouts.snu_film(tmp_path / "set")
    stores = ("--store", str(tmp_path / "made"), "--store-truths", str(tmp_path / "true"))
    arguments = ("snu_film_arb", tmp_path / "set", "--metrics", "psnr", "--split", "medium", "hard")
    made = measure(*arguments, "--round", *stores)
    names = [f"GOPR0384_11_00_{number:06d}.png" for number in range(2, 9)]
    assert sorted(path.name for path in (tmp_path / "made" / "hard").iterdir()) == names
    assert sorted(path.name for path in (tmp_path / "true" / "medium").iterdir()) == names[:3]
    clip = tmp_path / "set" / "test" / "GOPRO_test" / "GOPR0384_11_00"
    first, last = (layouts.load(clip / f"{number:06d}.png").astype(np.float64) for number in (1, 9))
    np.testing.assert_allclose(
        layouts.load(tmp_path / "made" / "hard" / names[0]), first + (last - first) / 8, atol=0.5001
    )
    assert (layouts.load(tmp_path / "true" / "hard" / names[0]) == layouts.load(clip / "000002.png")).all()
    before = fakes.recorder.counts()
    stored = measure(*arguments, "--predictions", str(tmp_path / "made"), model="")
    assert fakes.recorder.counts() == before
    for split in ("medium", "hard"):
        ours, theirs = (found["splits"][split]["scores"]["PSNR"]["value"] for found in (stored, made))
        assert ours == pytest.approx(theirs, abs=1e-6)
    assert stored["model"] == "stored"


def test_no_run_overwrites_what_another_stored(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.ucf101_dvf(tmp_path / "set")
    arguments = ("ucf101", tmp_path / "set", "--metrics", "psnr")
    stores = ("--store", str(tmp_path / "made"), "--store-truths", str(tmp_path / "true"))
    measure(*arguments, *stores)
    before = (tmp_path / "made" / "dvf" / "1.png").stat().st_mtime_ns
    error = measure(*arguments, *stores, "--scale", "0.5", code=1)["error"]
    assert "store='" in error
    assert "holds pictures of another run; pass another folder, or remove it" in error
    assert (tmp_path / "made" / "dvf" / "1.png").stat().st_mtime_ns == before
    layouts.save(tmp_path / "mine" / "dvf" / "1.png")
    assert "is not empty" in measure(*arguments, "--store", str(tmp_path / "mine"), code=1)["error"]
    (tmp_path / "file").touch()
    assert "cannot be used" in measure(*arguments, "--store", str(tmp_path / "file"), code=1)["error"]
    stored = ("--predictions", str(tmp_path / "made"))
    first = measure(*arguments, *stored, model="")["splits"]["dvf"]["scores"]
    layouts.save(tmp_path / "made" / "dvf" / "1.png")
    assert measure(*arguments, *stored, model="")["splits"]["dvf"]["scores"] != first  # noticed, not read back


def test_fid_is_of_the_stored_pictures_of_a_split(
    tmp_path: Path, measure: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts.snu_film(tmp_path / "set")
    stores = ("--store", str(tmp_path / "made"), "--store-truths", str(tmp_path / "true"))
    arguments = ("snu_film_arb", tmp_path / "set", "--metrics", "psnr", "--split", "medium", "--fid", *stores)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    found = measure(*arguments)["splits"]["medium"]
    assert "FID" not in found["scores"]
    assert "medium: FID is left out: torch-fidelity is not installed (pip install torch-fidelity)" in found["warnings"]

    def calculate_metrics(*, input1: str, input2: str, fid: bool, **settings: object) -> dict[str, float]:
        assert fid
        counts = [len(list(Path(folder).iterdir())) for folder in (input1, input2)]
        return {"frechet_inception_distance": 10.0 * counts[0] + counts[1]}

    library = types.SimpleNamespace(calculate_metrics=calculate_metrics)
    monkeypatch.setitem(sys.modules, "torch_fidelity", library)  # type: ignore[arg-type]
    assert measure(*arguments)["splits"]["medium"]["scores"]["FID"] == {"value": 33.0, "form": "fid"}
    layouts.save(tmp_path / "made" / "medium" / "other.png")
    found = measure(*arguments)["splits"]["medium"]
    assert "FID" not in found["scores"]
    assert "holds 1 other files and lacks 0" in found["warnings"][-1]


def test_two_devices_and_several_workers_give_the_same(
    tmp_path: Path, measure: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts.xtest(tmp_path)
    arguments = ("xtest", tmp_path, "--metrics", "psnr")
    one = measure(*arguments, "--workers", "1", "--results", str(tmp_path / "one"))
    monkeypatch.setattr(benchmark, "parse_devices", lambda names: ("cpu", "cpu"))  # a user's have to differ
    two = measure(*arguments, "--workers", "3", "--results", str(tmp_path / "two"))
    for split in ("2k", "4k"):
        assert one["splits"][split]["scores"] == two["splits"][split]["scores"]


def test_the_published_figure_stands_beside_ours(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.triplets(tmp_path / "set")
    arguments = ("vimeo90k", tmp_path / "set")
    measure(*arguments, "--store", str(tmp_path / "made"))
    stored = ("--predictions", str(tmp_path / "made"))
    found = measure(*arguments, *stored, model="uprnet_llarge")  # the protocol of a model, no weights needed
    scores = found["splits"]["all"]["scores"]
    assert scores["PSNR"]["published"] == 36.42
    assert scores["PSNR"]["status"] == "confirmed"
    assert found["splits"]["all"]["protocol"]["options"] == {"levels": 3}
    row = next(line.split() for line in found["table"].splitlines() if line.split()[:1] == ["PSNR"])
    assert row[2] == "36.42"
    assert float(row[3]) == pytest.approx(scores["PSNR"]["value"] - 36.42, abs=0.006)
    assert row[4] == "confirmed"
    assert "authors' protocol" in found["table"]
    one = measure(*arguments, *stored, "--metrics", "psnr", "ie", model="uprnet_llarge")  # changes no number
    assert "authors' protocol" in one["table"]
    assert "published" not in one["splits"]["all"]["scores"]["ie"]
    assert "the published set has 3782" in found["splits"]["all"]["warnings"][0]
    assert "not a published protocol" in measure(*arguments, *stored, "--levels", "4", model="uprnet_llarge")["table"]
    assert measure(*arguments, *stored, model="vfimamba")["splits"]["all"]["scores"]["SSIM"]["status"] == "second-hand"


def test_the_packaged_model_is_measured_for_real(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.triplets(tmp_path)
    found = measure("vimeo90k", tmp_path, "--subset", "1", "--scale", "1", "--levels", "3", model="builtin")
    from vsvfi import load_model

    clip = tmp_path / "sequences" / "00001" / "0389"
    first, second = (
        torch.from_numpy(layouts.load(clip / f"im{k}.png").astype(np.float32) / 255).permute(2, 0, 1) for k in (1, 3)
    )
    model = load_model("builtin", device="cpu", precision="fp32", scale=1, options={"levels": 3})
    made = model(first, second, 0.5).permute(1, 2, 0).double().numpy()
    truth = layouts.load(clip / "im2.png") / 255
    assert found["splits"]["all"]["scores"]["PSNR"]["value"] == pytest.approx(psnr(made, truth), abs=1e-3)


def test_faults_of_the_folder_are_reported_before_weights_are_wanted(
    tmp_path: Path, measure: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts.triplets(tmp_path)
    (tmp_path / "sequences" / "00001" / "0389" / "im3.png").unlink()

    def unwanted(*arguments: object) -> None:
        raise AssertionError("weights were wanted")

    with monkeypatch.context() as patched:
        patched.setattr(benchmark, "load_weights", unwanted)
        error = measure("vimeo90k", tmp_path, model="ifrnet", code=1)["error"]
    assert "all: 1 files are missing" in error
    assert "im3.png" in error
    assert "pass --skip-missing to leave those items out" in error
    found = measure("vimeo90k", tmp_path, "--skip-missing", "--metrics", "psnr")
    assert found["splits"]["all"]["items"] == 1
    assert any("1 files are missing" in text for text in found["splits"]["all"]["warnings"])


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["--model", "nothing"], "is not a known model"),
        ([], "model=None, must be named"),
        (["--model", "uprnet_base", "--split", "easy"], "is no part of this set; use all"),
        (["--model", "uprnet_base", "--scale", "0.3"], "is not a scale that UPR-Net takes"),
        (["--model", "uprnet_base", "--scale", "half"], "scale='half', must be a number"),
        (["--model", "uprnet_base", "--tta"], "UPR-Net has no option 'tta'"),
        (["--model", "uprnet_base", "--option", "levels"], "option='levels', must be NAME=VALUE"),
        (["--model", "uprnet_base", "--option", 'levels="x"'], "must be a whole number from 1 to 9"),
        (["--model", "uprnet_base", "--pad", "centred"], "pad='centred', is not a padding"),
        (["--model", "uprnet_base", "--pad", "corner:0"], "pad='corner:0', is not a padding"),
        (["--model", "uprnet_base", "--metrics", "vmaf"], "metrics='vmaf', is not a metric of this set; use psnr"),
        (["--model", "uprnet_base", "--metrics", "flow_epe"], "metrics='flow_epe', is not a metric of this set"),
        (["--model", "uprnet_base", "--precision", "fp8"], "precision='fp8'"),
        (["--model", "uprnet_base", "--device", "tpu"], "device=['tpu'], is not a device name"),
        (["--model", "uprnet_base", "--weights", "nowhere.pth"], "weights='nowhere.pth'"),
        (["--model", "uprnet_base", "--fid"], "compares stored pictures with stored truths"),
        (["--store", "a", "--predictions", "b"], "would store what is stored"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.triplets(tmp_path)
    assert benchmark.main(["vimeo90k", "--data", str(tmp_path), "--results", str(tmp_path / "r"), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("benchmark: ")
    assert rule in error.splitlines()[-1]
    assert not (tmp_path / "r").exists()


def test_counts_below_one_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["vimeo90k", "--data", str(tmp_path), "--subset", "0"])
    assert "must be 1 or more, not 0" in capsys.readouterr().err


def test_sets_of_flows_have_their_own_model_and_no_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.flows(tmp_path, 3)
    assert benchmark.main(["vtf", "--data", str(tmp_path), "--model", "ifrnet"]) == 1
    assert "predicts pictures, and this set is of flows; use gimm" in capsys.readouterr().err
    assert benchmark.main(["vtf", "--data", str(tmp_path), "--store", "x"]) == 1
    assert "has no pictures to store or read" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "last"), [("vtf", 3), ("vsf", 7)])
def test_flows_are_scored_as_computed_from_their_files(
    name: str, last: int, shared: Path, tmp_path: Path, measure: Callable[..., dict[str, Any]]
) -> None:
    _, _, state = golden(shared, "gimmvfi", "gimmvfi_r")
    keys = ("cnn_encoder.", "res_conv.", "hyponet.", "alpha_")
    weights = tmp_path / "gimm.pt"
    torch.save({"state_dict": {key: tensor for key, tensor in state.items() if key.startswith(keys)}}, weights)
    layouts.flows(tmp_path / "set", last)
    found = measure(name, tmp_path / "set", "--weights", str(weights), model="")
    folder = tmp_path / "set" / "flow_sequences" / "00001" / "0389"
    forth, back = read_flow(folder / f"im1_im{last}.flo"), read_flow(folder / f"im{last}_im1.flo")
    model = motion_model.motion_predictor(weights, "cpu", 0).model
    steps = range(1, last - 1)
    late = 1 if name == "vsf" else 0
    with torch.inference_mode():
        made = model(forth, back, [(k / (last - 1), (k + late) / (last - 1)) for k in steps])
    scale = max(float(forth.abs().max()), float(back.abs().max()))
    scores = []
    for k, output in zip(steps, made, strict=True):
        truth = read_flow(folder / f"im{k + 1}_im{last}.flo") - read_flow(folder / f"im{k + 1}_im1.flo")
        true, guess = truth.double().numpy(), output.double().numpy()
        error = scale * (2 * guess - 1) - true
        scores.append((psnr(guess, (true / scale + 1) / 2), float(np.mean(np.sqrt((error**2).sum(1))))))
    result = found["splits"]["all"]["scores"]
    assert result["PSNR"]["value"] == pytest.approx(np.mean([score for score, _ in scores]), abs=1e-4)
    assert result["EPE"]["value"] == pytest.approx(np.mean([score for _, score in scores]), rel=1e-5)
    if late:
        right = measure(name, tmp_path / "set", "--weights", str(weights), "--splat-times", "right", model="")
        assert right["splits"]["all"]["scores"]["EPE"]["value"] != result["EPE"]["value"]
    assert "published" not in result["PSNR"]


def test_identical_pictures_have_no_finite_psnr(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.triplets(tmp_path)
    black = Image.fromarray(np.zeros((16, 24, 3), np.uint8))
    for path in tmp_path.rglob("*.png"):
        black.save(path)
    found = measure("vimeo90k", tmp_path, "--metrics", "psnr")
    assert found["splits"]["all"]["scores"]["PSNR"]["value"] is None
    assert "infinite" in found["table"]


def test_a_failing_item_is_named_and_the_others_are_kept(
    tmp_path: Path, measure: Callable[..., dict[str, Any]], fake_family: fakes.Recorder
) -> None:
    layouts.triplets(tmp_path)
    calls = []

    def fail_at_the_second() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise RuntimeError("the device is gone")

    fakes.recorder.hook = fail_at_the_second
    error = measure("vimeo90k", tmp_path, "--metrics", "psnr", "--workers", "1", code=1)["error"]
    assert "benchmark: 00001/0402: RuntimeError: the device is gone" in error
    fakes.recorder.hook = None
    found = measure("vimeo90k", tmp_path, "--metrics", "psnr", "--workers", "1")
    assert "1 of 2 were done before" in found["log"]


def test_a_metric_that_is_not_here_is_left_out_with_a_reason(
    tmp_path: Path, measure: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.evaluate import scoring

    def missing(networks: scoring.Networks) -> scoring.Scorer:
        raise ImportError("lpips is not installed")

    monkeypatch.setitem(scoring.FORMS, "lpips", missing)  # type: ignore[arg-type]
    layouts.triplets(tmp_path)
    found = measure("vimeo90k", tmp_path, "--metrics", "psnr", "lpips")
    assert set(found["splits"]["all"]["scores"]) == {"PSNR"}
    assert "lpips is left out: lpips is not installed" in found["log"]
    error = measure("vimeo90k", tmp_path, "--metrics", "lpips", code=1)["error"]
    assert "metrics=['lpips'], cannot be computed here; see the reasons above" in error


KILLED = """
import sys, time
from pathlib import Path
from scripts.evaluate import benchmark
from tests import fakes

folder, *command = sys.argv[1:]
with fakes.installed(Path(folder)) as recorder:
    recorder.hook = lambda: time.sleep(0.3)
    benchmark.main([*command, "--weights", str(recorder.weights)])
"""


def test_perceptual_metrics_see_the_files_that_were_given(
    shared: Path, tmp_path: Path, measure: Callable[..., dict[str, Any]]
) -> None:
    folder = shared / "goldens" / "metrics"
    if not folder.is_dir():
        pytest.skip("the reference data of the metrics is not beside this clone")
    state = recipe(shared).load(folder / "lpips_alex.weights.json")
    heads = {key: torch.from_numpy(array) for key, array in state.items() if key.startswith("lin")}
    features = {key: torch.from_numpy(array) for key, array in state.items() if key.startswith("features.")}
    flow = {key: torch.from_numpy(array) for key, array in recipe(shared).load(folder / "pwcnet.weights.json").items()}
    files = []
    for name, tensors in (("alexnet", features), ("lpips-heads", heads), ("pwcnet", flow)):
        torch.save(tensors, tmp_path / f"{name}.pth")
        files += [f"--{name}", str(tmp_path / f"{name}.pth")]
    for k in (1, 2, 3):
        layouts.save(tmp_path / "sequences" / "a" / f"im{k}.png", 64, 64)
    (tmp_path / "tri_testlist.txt").write_text("a\n")
    found = measure("vimeo90k", tmp_path, "--metrics", "lpips", "flolpips", *files)["splits"]["all"]["scores"]
    images = [
        torch.from_numpy(layouts.load(tmp_path / "sequences" / "a" / f"im{k}.png").astype(np.float32) / 255)
        .permute(2, 0, 1)
        .contiguous()
        for k in (1, 2, 3)
    ]
    blend = (images[0] + images[2]) / 2
    lpips = Lpips(features, heads)
    assert found["lpips"]["value"] == pytest.approx(float(lpips(blend, images[1])), rel=1e-3)
    expected = FloLpips(lpips, flow)(blend, images[1], images[0], images[2])
    assert found["flolpips"]["value"] == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_a_kill_loses_nothing_that_was_finished(
    tmp_path: Path, measure: Callable[..., dict[str, Any]], fake_family: fakes.Recorder
) -> None:
    layouts.ucf101_dvf(tmp_path)
    command = ["ucf101", "--data", str(tmp_path), "--results", str(tmp_path / "results"), "--model", "fake"]
    command += ["--device", "cpu", "--workers", "1", "--metrics", "psnr"]
    folder = str(fake_family.weights.parent)
    with subprocess.Popen([sys.executable, "-c", KILLED, folder, *command], stderr=subprocess.PIPE) as process:
        while not any(path.read_text().count("\n") > 1 for path in (tmp_path / "results").glob("*.jsonl")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    found = measure("ucf101", tmp_path, "--workers", "1", "--metrics", "psnr")
    assert re.search("ucf101 dvf: [12] of 3 were done before", found["log"])
    assert fakes.recorder.counts()["synthesise"] in (1, 2)
    scores = expected("ucf101", "dvf", listed("ucf101", tmp_path)["dvf"])
    assert found["splits"]["dvf"]["scores"]["PSNR"]["value"] == pytest.approx(np.mean(scores), abs=1e-4)


@pytest.mark.skipif(os.name == "nt", reason="a process cannot interrupt itself there")
def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, measure: Callable[..., dict[str, Any]], fake_family: fakes.Recorder
) -> None:
    layouts.ucf101_dvf(tmp_path)

    def interrupt() -> None:
        fakes.recorder.hook = None
        os.kill(os.getpid(), signal.SIGINT)

    fakes.recorder.hook = interrupt
    error = measure("ucf101", tmp_path, "--workers", "1", "--metrics", "psnr", code=130)["error"]
    assert "stopped; the same command goes on from here" in error
    assert measure("ucf101", tmp_path, "--metrics", "psnr")["splits"]["dvf"]["items"] == 3
