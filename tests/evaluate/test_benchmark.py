"""Scores of miniature data sets against values that the tests compute themselves from the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from PIL import Image

from scripts.evaluate import motion_model
from scripts.evaluate.datasets import SETS
from scripts.evaluate.flow_files import read_flow
from tests import fakes
from tests.evaluate import layouts
from tests.evaluate.truth import expected, listed, psnr, ssim
from tests.models.goldens import golden, recipe
from vsvfi.metrics import FloLpips, Lpips


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
        assert found["splits"][split]["images"] == len(scores)
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


def test_identical_images_have_no_finite_psnr(tmp_path: Path, measure: Callable[..., dict[str, Any]]) -> None:
    layouts.triplets(tmp_path)
    black = Image.fromarray(np.zeros((16, 24, 3), np.uint8))
    for path in tmp_path.rglob("*.png"):
        black.save(path)
    found = measure("vimeo90k", tmp_path, "--metrics", "psnr")
    assert found["splits"]["all"]["scores"]["PSNR"]["value"] is None
    assert "infinite" in found["table"]


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
