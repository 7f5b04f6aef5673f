"""What the benchmark refuses, and what it leaves out, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from scripts.evaluate import benchmark
from tests.evaluate import layouts
from vsvfi.errors import DownloadError
from vsvfi.metrics import weights as metrics_weights


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
        (["--model", "uprnet_base", "--scale", "0.3"], "is not a scale that UPR-Net supports"),
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
        (["--model", "uprnet_base", "--alexnet", "nowhere.pth"], "alexnet='nowhere.pth', is not a file; check the"),
        (["--model", "uprnet_base", "--fid"], "compares stored images with stored truths"),
        (
            ["--model", "uprnet_base", "--crop", "64"],
            "crop=64, is no setting of this set; leave it out; it is for gopro",
        ),
        (["--model", "uprnet_base", "--keep-last"], "keep_last=True, is no setting of this set"),
        (["--model", "uprnet_base", "--splat-times", "right"], "it is for vsf"),
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


def test_sets_of_flows_have_their_own_model_and_no_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.flows(tmp_path, 3)
    assert benchmark.main(["vtf", "--data", str(tmp_path), "--model", "ifrnet"]) == 1
    assert "predicts images, and this set is of flows; use gimm" in capsys.readouterr().err
    assert benchmark.main(["vtf", "--data", str(tmp_path), "--store", "x"]) == 1
    assert "has no images to store or read" in capsys.readouterr().err


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


def test_weights_are_wanted_once_and_their_option_is_named(
    tmp_path: Path, measure: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def refuse(network: str, sources: object, **further: object) -> Path:
        tried.append(network)
        raise DownloadError(network, [("example.org", "no route")], listed=False)

    monkeypatch.setattr(metrics_weights, "fetch", refuse)
    layouts.triplets(tmp_path)
    found = measure("vimeo90k", tmp_path, "--metrics", "psnr", "lpips", "flolpips")
    assert tried == ["AlexNet (LPIPS)"]
    reasons = [line for line in found["splits"]["all"]["warnings"] if "is left out: AlexNet" in line]
    assert len(reasons) == 2
    assert all(line.endswith("or download the file yourself and pass it with --alexnet") for line in reasons)
    assert "weights=" not in found["log"] + found["table"]


def test_a_model_without_weights_names_the_option(
    tmp_path: Path, measure: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSVFI_OFFLINE", "1")
    layouts.triplets(tmp_path)
    error = measure("vimeo90k", tmp_path, model="ifrnet", code=1)["error"]
    assert "pass a file with --weights, or use --model builtin" in error
