"""Runs of the benchmark: resuming, stored images, several devices, failures."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from scripts.evaluate import benchmark, scoring
from tests import fakes
from tests.evaluate import layouts
from tests.evaluate.truth import expected, listed
from vsvfi.metrics import frechet_distance


def test_a_run_goes_on_where_it_was(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.gopro_videos(tmp_path)
    arguments = ("gopro", tmp_path, "--metrics", "psnr", "--crop", "16", "--keep-last")
    trial = measure(*arguments, "--subset", "1")
    assert (trial["splits"]["all"]["items"], trial["splits"]["all"]["of_items"]) == (1, 3)
    assert "(of 3 items, 1)" in trial["table"]
    before = fakes.recorder.counts()["synthesise"]
    whole = measure(*arguments, "--store", str(tmp_path / "made"))
    assert fakes.recorder.counts()["synthesise"] - before == 21  # images are wanted of the first item too
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
    assert "holds images of another run; pass another folder, or remove it" in error
    assert (tmp_path / "made" / "dvf" / "1.png").stat().st_mtime_ns == before
    layouts.save(tmp_path / "mine" / "dvf" / "1.png")
    assert "is not empty" in measure(*arguments, "--store", str(tmp_path / "mine"), code=1)["error"]
    (tmp_path / "file").touch()
    assert "cannot be used" in measure(*arguments, "--store", str(tmp_path / "file"), code=1)["error"]
    stored = ("--predictions", str(tmp_path / "made"))
    first = measure(*arguments, *stored, model="")["splits"]["dvf"]["scores"]
    layouts.save(tmp_path / "made" / "dvf" / "1.png")
    assert measure(*arguments, *stored, model="")["splits"]["dvf"]["scores"] != first  # noticed, not read back


def test_fid_is_of_the_stored_images_of_a_split(
    tmp_path: Path, measure: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts.snu_film(tmp_path / "set")
    stores = ("--store", str(tmp_path / "made"), "--store-truths", str(tmp_path / "true"))
    arguments = ("snu_film_arb", tmp_path / "set", "--metrics", "psnr", "--split", "medium", "--fid", *stores)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    found = measure(*arguments)["splits"]["medium"]
    assert "FID" not in found["scores"]
    assert "medium: FID is left out: torch-fidelity is not installed (extra `fid`)" in found["warnings"]

    class Features:
        """The mean of each channel in place of the network."""

        def __init__(self, weights: Path | None, device: torch.device) -> None:
            assert weights == tmp_path / "inception.pth"

        def features(self, images: Iterable[torch.Tensor]) -> torch.Tensor:
            return torch.stack([image.double().mean((1, 2)) for image in images])

    monkeypatch.setattr(scoring, "Inception", Features)
    (tmp_path / "inception.pth").touch()
    arguments = (*arguments, "--inception", str(tmp_path / "inception.pth"))
    score = measure(*arguments)["splits"]["medium"]["scores"]["FID"]
    sets = [
        Features(tmp_path / "inception.pth", torch.device("cpu")).features(
            torch.from_numpy(layouts.load(path).copy()).permute(2, 0, 1)
            for path in sorted((tmp_path / folder / "medium").iterdir())
        )
        for folder in ("made", "true")
    ]
    assert score == {"value": pytest.approx(frechet_distance(*sets), abs=1e-4), "form": "fid"}
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


KILLED = """
import sys, time
from pathlib import Path
from scripts.evaluate import benchmark, scoring
from tests import fakes

folder, *command = sys.argv[1:]
with fakes.installed(Path(folder)) as recorder:
    recorder.hook = lambda: time.sleep(0.3)
    benchmark.main([*command, "--weights", str(recorder.weights)])
"""


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
