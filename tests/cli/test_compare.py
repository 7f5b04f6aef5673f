"""`vsvfi compare` on small generated videos."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cli.media_files import make
from vsvfi.cli import main
from vsvfi.cli.compare import chosen_models
from vsvfi.compare.deadline import Deadline
from vsvfi.media.probe import probe

pytest.importorskip("av", reason="videos are read by PyAV")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera that pans over a test image."""
    pan = "testsrc2=size=192x128:rate=25,trim=end_frame=1,loop=-1:1:0,setpts=N/25/TB,crop=96:64:2*n:n"
    encoded = ("-frames:v", 24, "-c:v", "libx264", "-crf", 10, "-pix_fmt", "yuv420p")
    return make(tmp_path_factory.mktemp("compare") / "film.mp4", "-f", "lavfi", "-i", pan, *encoded)


def test_models_and_baselines_are_compared(
    video: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("VSVFI_CACHE", str(tmp_path_factory.mktemp("cache")))
    page = tmp_path / "page.html"
    arguments = [
        "compare",
        str(video),
        "--models",
        "builtin,uprnet_base,ldmvfi",
        "-o",
        str(page),
        "--json",
        "--places",
        "2",
    ]
    assert main([*arguments, "--fps", "100", "--device", "cpu", "--minutes", "2", "--tile", "256"]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    found = json.loads(line)
    rows: dict[str, Any] = {row["name"]: row for row in found["methods"]}
    assert {"builtin", "blend", "minterpolate"} <= rows.keys()
    assert rows["builtin"]["psnr"] > rows["blend"]["psnr"]
    assert rows["builtin"]["ssim"] > rows["blend"]["ssim"]
    assert found["best"] == found["methods"][0]["name"]
    assert "uprnet_base" in found["left_out"]
    assert "weights" in found["left_out"]["uprnet_base"]
    assert "tile=256, is not possible with LDMVFI" in found["left_out"]["ldmvfi"]
    assert len(found["places"]) == 2
    assert found["complete"] is True
    assert found["wanted_rate"] == "100"
    cost = rows["builtin"]
    assert cost["hours"] == pytest.approx(24 * 3 * cost["seconds_per_frame"] / 3600, rel=0.05, abs=1e-4)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "nearest to the true frames" in text
    assert "nearest to the true frames" in captured.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]
    render = (
        f"next: vsvfi render {video} -o {video.with_name('film_builtin.mkv')} --model builtin --fps 100 --device cpu"
    )
    assert captured.err.splitlines()[-1] == render


def test_a_video_of_variable_rate_is_compared_at_its_true_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pan = "testsrc2=size=192x128:rate=25,trim=end_frame=1,loop=-1:1:0,setpts=N/25/TB,crop=96:64:2*n:n"
    fewer = f"{pan},select='lt(n,9)+gt(n,27)+not(mod(n,3))'"
    coded = ("-frames:v", 24, "-fps_mode", "vfr", "-c:v", "libx264", "-crf", 10, "-pix_fmt", "yuv420p")
    film = make(tmp_path / "film.mkv", "-f", "lavfi", "-i", fewer, *coded)
    times = probe(film).times
    page = str(tmp_path / "page.html")
    options = ["--models", "builtin", "--no-baselines", "--places", "3", "--json", "--fps", "60", "--device", "cpu"]
    assert main(["compare", str(film), "-o", page, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["frames"] == len(times) - 1 == 24
    assert Fraction(found["rate"]) == pytest.approx(24 / (times[-1] - times[0]), rel=1e-3)
    for place in found["places"]:
        distances = [times[after] - times[before] for before, after in pairwise(place)]
        assert max(distances) - min(distances) <= 0.0011, "the removed frames are not in the middle"
    assert "on average" in Path(page).read_text(encoding="utf-8")


def test_a_page_is_not_overwritten_unasked(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    assert main(["compare", str(video), "-o", str(page)]) == 1
    assert "pass --overwrite" in capsys.readouterr().err
    assert page.read_text() == "mine"
    assert main(["compare", str(video), "-o", str(video), "--overwrite"]) == 1
    assert "is the source itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--models", "builtn"], "did you mean builtin"),
        (["--models", ","], "does not name a model"),
        (["--minutes", "0"], "must be above 0"),
        (["--minutes", "nan"], "must be above 0"),
        (["--places", "0"], "must be 1 or more"),
        (["--images", "0"], "must be 1 or more"),
        (["--fps", "60", "--multi", "2"], "cannot be given together"),
        (["--scale", "-1"], "scale=-1"),
        (["--tile", "64"], "tile=64"),
    ],
)
def test_wrong_arguments(video: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    assert main(["compare", str(video), *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("step", ["open", "compare"])
def test_a_run_whose_time_is_over_too_soon_fails(
    step: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = iter({"open": [], "compare": [1, 2, 3]}[step])  # opening, places and scores are in time

    def call(limit: Deadline, function: Callable[[], object]) -> object:
        if next(ends, None) is None:
            raise TimeoutError
        return function()

    monkeypatch.setattr(Deadline, "call", call)
    page = tmp_path / "page.html"
    assert main(["compare", str(video), "--models", "builtin", "-o", str(page), "--device", "cpu"]) == 1
    message = {"open": "vsvfi: the time was over while reading the video; use more --minutes", "compare": "use more"}
    assert message[step] in capsys.readouterr().err
    assert page.exists() is (step == "compare")


def test_a_video_that_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = str(tmp_path / "page.html")
    assert main(["compare", str(tmp_path / "none.mp4"), "-o", page]) == 1
    assert "is not a file" in capsys.readouterr().err
    still = make(tmp_path / "still.mp4", "-f", "lavfi", "-i", "color=red:size=96x64:rate=25", "-frames:v", 12)
    assert main(["compare", str(still), "-o", page]) == 1
    assert "has no 5 different frames in a row" in capsys.readouterr().err
    assert not Path(page).exists()


def test_a_video_whose_size_changes_is_refused(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import vapoursynth as vs

    from vsvfi.cli import scripting

    core = vs.core.core
    two = [core.std.BlankClip(width=width, height=64, length=12, format=vs.YUV420P8) for width in (96, 64)]
    monkeypatch.setattr(scripting, "open_video", lambda *_: core.std.Splice(two, mismatch=True))
    assert main(["compare", str(video), "-o", str(tmp_path / "page.html")]) == 1
    assert "changes its size or format" in capsys.readouterr().err


def test_all_installed_models_are_compared_unless_some_are_named() -> None:
    names = chosen_models(None)
    assert {"builtin", "builtin_hq"} <= set(names)
    assert len(names) == len(set(names))
    assert chosen_models(" rife, builtin,rife") == ["rife", "builtin"]


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to a process")
def test_an_interrupt_leaves_the_page_of_what_is_done(video: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    command = [sys.executable, "-m", "vsvfi", "compare", str(video), "--models", "builtin", "-o", str(page), "--json"]
    with subprocess.Popen(
        [*command, "--no-baselines", "--device", "cpu", "--places", "4"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            if line.startswith("place 2 of"):
                process.send_signal(signal.SIGINT)
                break
        errors, output = process.stderr.read(), process.stdout.read()
        code = process.wait(60)
    assert code == 130, errors
    assert json.loads(output)["complete"] is False
    assert "Stopped early" in page.read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]
