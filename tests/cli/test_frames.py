"""`vsvfi frames` on small images made on the spot."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests import fakes
from tests.cli.media_files import make, run_ffmpeg
from vsvfi.cli import main
from vsvfi.cli.frames import wanted_times
from vsvfi.media.stills import Still, read_still, write_png

pytest.importorskip("av", reason="images are read by PyAV")


def random_image(index: int, kind: type = np.uint8, *, grey: bool = False, alpha: bool = False) -> Still:
    """A texture that moves by two pixels per image."""
    y, x = np.mgrid[:48, :64]
    waves = [0.5 + 0.3 * np.sin((x - 2 * index) / 5 + (0 if grey else k)) * np.cos(y / 7) for k in range(3)]
    peak = np.iinfo(kind).max
    colour = (np.stack(waves, -1) * peak).astype(kind)
    cover = ((x > 20 + 2 * index) * peak).astype(kind) if alpha else None
    return Still(colour, cover, grey)


def saved(folder: Path, count: int = 2, kind: type = np.uint8, *, grey: bool = False, alpha: bool = False) -> list[str]:
    folder.mkdir(exist_ok=True)
    names = [folder / f"{index + 8}.png" for index in range(count)]
    for index, name in enumerate(names):
        write_png(name, random_image(index, kind, grey=grey, alpha=alpha))
    return [str(name) for name in names]


def run(*arguments: object) -> int:
    return main(["frames", *map(str, arguments), "--device", "cpu"])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_frames_lie_between_their_images(tmp_path: Path, kind: type) -> None:
    given, out = saved(tmp_path / "in", kind=kind), tmp_path / "out"
    assert run(*given, "-n", 3, "-o", out, "--precision", "fp32") == 0
    assert files(out) == [f"{index:05d}.png" for index in range(5)]
    found = [read_still(out / name) for name in files(out)]
    assert {still.bits for still in found} == {8 * np.dtype(kind).itemsize}
    assert np.array_equal(found[0].colour, random_image(0, kind).colour)
    assert np.array_equal(found[4].colour, random_image(1, kind).colour)
    peak = np.iinfo(kind).max
    for index in (1, 2, 3):
        y, x = np.mgrid[:48, :64]
        waves = [0.5 + 0.3 * np.sin((x - index / 2) / 5 + k) * np.cos(y / 7) for k in range(3)]
        error = np.abs(found[index].colour / peak - np.stack(waves, -1))[8:-8, 8:-8]
        assert error.mean() < 0.02


def test_everything_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path / "in", 3)
    out = tmp_path / "out"
    shows = [tmp_path / f"show{ending}" for ending in (".gif", ".webp", ".mp4")]
    options = [option for show in shows for option in ("--animation", show)]
    extras = ["--overlay", "--strip", "--flow", "--json", *options]
    assert run(tmp_path / "in", "-t", "1/4", "0.75", "-o", out, *extras) == 0
    (line,) = capsys.readouterr().out.splitlines()
    written = json.loads(line)["files"]
    assert sorted(Path(name).name for name in written if Path(name).parent == out) == files(out)
    frames = [name for name in files(out) if name[0].isdigit()]
    assert len(frames) == 7
    assert read_still(out / "strip-00001.png").size == (4 * 64, 48)
    first, second = random_image(0).colour.astype(int), random_image(1).colour.astype(int)
    assert np.array_equal(read_still(out / "overlay-00000.png").colour, (first + second + 1) // 2)
    assert [name for name in files(out) if name.startswith("flow-00000")] == [
        "flow-00000-0-1.flo", "flow-00000-0-1.png", "flow-00000-1-0.flo", "flow-00000-1-0.png",
    ]  # fmt: skip
    content = (out / "flow-00000-0-1.flo").read_bytes()
    assert struct.unpack("<fii", content[:12])[1:] == (64, 48)
    flow = np.frombuffer(content[12:], "<f4").reshape(48, 64, 2)
    assert np.median(flow[8:-8, 8:-8, 0]) == pytest.approx(2, abs=0.7)
    for show in (shows[0], shows[2]):
        raw = run_ffmpeg("-v", "error", "-i", show, "-f", "rawvideo", "-pix_fmt", "rgb24", "-").stdout
        assert len(raw) == 7 * 64 * 48 * 3, show  # both ends are kept
        shown = np.frombuffer(raw, np.uint8).reshape(7, 48, 64, 3).astype(int)
        assert np.abs(shown[0] - first).mean() < 12
        assert np.abs(shown[6] - random_image(2).colour).mean() < 12
    assert shows[1].read_bytes()[8:12] == b"WEBP"
    assert shows[1].read_bytes().count(b"ANMF") == 7


def test_frames_beside_their_image_and_motion_as_videos(tmp_path: Path) -> None:
    saved(tmp_path / "in", 3)
    beside, moving = tmp_path / "beside.mp4", tmp_path / "moving.mkv"
    options = ["--beside", beside, "--flow-animation", moving]
    assert run(tmp_path / "in", "-n", 1, "-o", tmp_path / "out", *options) == 0
    assert files(tmp_path / "out") == [f"{index:05d}.png" for index in range(5)]
    raw = run_ffmpeg("-v", "error", "-i", beside, "-f", "rawvideo", "-pix_fmt", "rgb24", "-").stdout
    shown = np.frombuffer(raw, np.uint8).reshape(5, 48, 128, 3).astype(int)
    for index in range(5):
        assert np.abs(shown[index, :, :64] - random_image(index // 2).colour).mean() < 12
        assert np.abs(shown[index, :, 64:] - read_still(tmp_path / "out" / f"{index:05d}.png").colour).mean() < 12
    raw = run_ffmpeg("-v", "error", "-i", moving, "-f", "rawvideo", "-pix_fmt", "rgb24", "-").stdout
    assert len(raw) == 2 * 48 * 128 * 3  # both directions side by side


def test_grey_and_transparent_images_stay_so(tmp_path: Path) -> None:
    assert run(*saved(tmp_path / "grey", grey=True), "-o", tmp_path / "a") == 0
    made = read_still(tmp_path / "a" / "00001.png")
    assert made.grey
    assert run(*saved(tmp_path / "clear", alpha=True), "-o", tmp_path / "b") == 0
    made = read_still(tmp_path / "b" / "00001.png")
    assert made.alpha is not None
    row = made.alpha[24].astype(int)
    assert row[18] < 40
    assert row[28] > 215
    one = saved(tmp_path / "one")[0]
    assert run(one, saved(tmp_path / "two", alpha=True)[1], "-o", tmp_path / "c", "--bits", 16) == 0
    made = read_still(tmp_path / "c" / "00001.png")
    assert made.bits == 16
    assert made.alpha is not None
    assert made.alpha[24, 40:].min() > 60000


def test_new_frames_alone(tmp_path: Path) -> None:
    assert run(*saved(tmp_path / "in", 3), "-o", tmp_path / "out", "--new-only") == 0
    assert files(tmp_path / "out") == ["00000.png", "00001.png"]


def test_a_pattern_is_read_in_natural_order(tmp_path: Path) -> None:
    saved(tmp_path / "in", 3)  # 8.png, 9.png, 10.png
    assert run(tmp_path / "in" / "*.png", "-o", tmp_path / "out") == 0
    for index in range(3):
        shown = read_still(tmp_path / "out" / f"{2 * index:05d}.png").colour
        assert np.array_equal(shown, random_image(index).colour)


def test_headerless_video(tmp_path: Path) -> None:
    pan = "testsrc2=size=192x128:rate=25,trim=end_frame=1,loop=-1:1:0,setpts=N/25/TB,crop=96:64:2*n:n"
    encoded = ("-frames:v", 3, "-pix_fmt", "yuv420p10le", "-f", "rawvideo")
    path = make(tmp_path / "pan_10bit.yuv", "-f", "lavfi", "-i", pan, *encoded)
    out, video = tmp_path / "out", tmp_path / "pan.mkv"
    assert run(path, "--size", "96x64", "-o", out, "--animation", video, "--rate", 50, "--crf", 0) == 0
    assert len(files(out)) == 5
    assert read_still(out / "00001.png").bits == 16
    raw = run_ffmpeg("-v", "error", "-i", video, "-f", "rawvideo", "-pix_fmt", "gray", "-").stdout
    assert len(raw) == 5 * 96 * 64


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{in}/8.png", "-o", "{out}"], 1, "holds 1 images"),
        (["{in}/8.png", "{in}/none.png", "-o", "{out}"], 1, "none.png is not a file"),
        (["none.yuv", "-o", "{out}"], 1, "none.yuv is not a file"),
        (["{in}", "-n", "0", "-o", "{out}"], 2, "must be from 1 to 1000"),
        (["{in}", "-t", "1", "-o", "{out}"], 2, "must lie between 0 and 1"),
        (["{in}", "-t", "x", "-o", "{out}"], 2, "must lie between 0 and 1"),
        (["{in}", "-t", "0.5", "-n", "2", "-o", "{out}"], 2, "cannot be given together"),
        (["{in}", "-o", "{out}", "--rate", "0"], 2, "number of frames per second"),
        (["{in}", "-o", "{out}", "--crf", "99"], 2, "must be from 0 to 51"),
        (["{in}", "-o", "{out}", "--animation", "a.avi"], 2, "must end in .gif, .webp, .mp4, .mkv"),
        (["{in}", "-o", "{out}", "--size", "64x48"], 2, "is for one headerless .yuv file"),
        (["{in}", "-o", "{out}", "--model", "builtn"], 2, "did you mean builtin"),
        (["{in}", "-o", "{out}", "--model", "ldmvfi", "--tile", "256"], 2, "is not possible with LDMVFI"),
        (["{in}", "-o", "{out}", "-a", "streams=2"], 2, "does not apply to images"),
        (["{in}", "-o", "{in}/8.png"], 1, "is a file; give the name of a folder"),
        (["{in}/8.png", "{odd}", "-o", "{out}"], 1, "are of different sizes, 64x48 and 32x48"),
        (["{raw}", "--size", "axb", "-o", "{out}"], 2, "must be WIDTHxHEIGHT"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    saved(tmp_path / "in")
    odd = tmp_path / "odd.png"
    write_png(odd, Still(random_image(0).colour[:, :32]))
    (tmp_path / "raw.yuv").write_bytes(bytes(64))
    names = {"in": tmp_path / "in", "out": tmp_path / "out", "odd": odd, "raw": tmp_path / "raw.yuv"}
    assert main(["frames", *(text.format(**names) for text in arguments), "--precision", "fp32"]) == code
    assert message in capsys.readouterr().err


def test_several_devices_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path / "in")
    arguments = ["frames", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--device", "cpu,cpu"]
    assert main(arguments) == 2
    assert "device" in capsys.readouterr().err


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, out = saved(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    (out / "00001.png").write_text("mine")
    assert run(*given, "-o", out) == 1
    assert "00001.png exists; choose another folder or pass --overwrite" in capsys.readouterr().err
    assert files(out) == ["00001.png"]
    assert run(*given, "-o", out, "--overwrite") == 0
    assert files(out) == ["00000.png", "00001.png", "00002.png"]
    sources = [out / "00000.png", out / "00002.png"]
    assert run(*sources, "-o", out, "--overwrite") == 1
    assert "is one of the images" in capsys.readouterr().err
    show = tmp_path / "show.gif"
    show.write_text("mine")
    assert run(*given, "-o", tmp_path / "other", "--animation", show) == 1
    assert show.read_text() == "mine"


def test_weights_that_cannot_be_fetched_leave_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSVFI_OFFLINE", "1")
    mine = tmp_path / "mine"
    mine.mkdir()
    given = saved(tmp_path / "in")
    for out in (tmp_path / "new" / "out", mine / "out", mine):
        assert run(*given, "-o", out, "--model", "ifrnet") == 1
    assert "pass a file with --weights, or use --model builtin, which" in capsys.readouterr().err
    assert files(tmp_path) == ["in", "mine"]
    assert files(mine) == []


def test_ffmpeg_is_heard_where_it_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vsvfi.cli import frame_files

    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho 'no encoder' >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setattr(frame_files, "find_ffmpeg", lambda: str(fake))
    assert run(*saved(tmp_path / "in"), "-o", tmp_path / "out", "--animation", tmp_path / "a.gif") == 1
    assert "ffmpeg could not write" in capsys.readouterr().err
    assert not (tmp_path / "a.gif").exists()


def test_a_model_without_flow_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fake_family: fakes.Recorder
) -> None:
    model = ["--model", "fake", "--weights", fake_family.weights]
    assert run(*saved(tmp_path / "in"), "-o", tmp_path / "out", *model, "--flow") == 2
    assert "does not estimate flow" in capsys.readouterr().err
    assert fake_family.counts()["synthesise"] == 0


def test_times() -> None:
    assert wanted_times(None, None) == [Fraction(1, 2)]
    assert wanted_times(3, None) == [Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)]
    assert wanted_times(None, ["0.75", "1/3", "0.75"]) == [Fraction(1, 3), Fraction(3, 4)]
