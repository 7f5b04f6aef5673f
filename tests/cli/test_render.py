"""`vsvfi render` on small videos: the output is in sync, tagged and complete.

Input that cannot work is refused in one sentence.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.cli.media_files import (
    FLASH,
    ffmpeg,
    flash_video,
    images,
    listing,
    luma,
    make,
    moving_video,
    packets,
    tone_start,
)
from tests.media.test_kept_pixels import painted, samples
from vsvfi.cli import main
from vsvfi.cli.bench import write_random_weights
from vsvfi.cli.render import readable_name
from vsvfi.cli.summary import Summary, describe, progress_line
from vsvfi.media.probe import open_container
from vsvfi.media.pyav import pyav

MODEL = "ifrnet_s"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the right shapes: these tests do not check the interpolated images."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    write_random_weights(MODEL, path)
    return path


def render(weights: Path, video: Path, output: Path, *extra: object) -> Summary:
    """Through the command line; libx264 because it starts faster."""
    options = (
        "--model",
        MODEL,
        "--weights",
        weights,
        "--device",
        "cpu",
        "--encoder",
        "libx264",
        "--preset",
        "ultrafast",
        "--json",
        *extra,
    )
    done = subprocess.run(
        [sys.executable, "-m", "vsvfi", "render", video, "-o", output, *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not output.with_name(output.name + ".partial").exists()
    return Summary(**json.loads(done.stdout))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line that `vsvfi render` prints on an error."""
    assert main(["render", *map(str, arguments)]) in (1, 2)
    seen = capsys.readouterr()
    assert seen.out == ""
    message, reference = seen.err.strip().rsplit(" (help: vsvfi explain ", 1)
    assert re.fullmatch(r"\w+\)", reference)
    return message


@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_audio_is_kept_and_in_sync(tmp_path: Path, weights: Path, offset: float) -> None:
    video = flash_video(tmp_path / "in.mkv", offset=offset)
    output = tmp_path / "out.mkv"
    summary = render(weights, video, output)
    assert (summary.source_frames, summary.source_rate, summary.frames, summary.rate) == (
        48,
        "24000/1001",
        96,
        "48000/1001",
    )
    times = [time for time, _ in packets(output, "0:v:0")]
    assert len(times) == 96
    assert abs(times[0] - offset) < 0.01
    image, audio = times[int(np.argmax(luma(output) > 128))], tone_start(output)
    assert abs(image - audio) < 1 / 23
    assert abs(audio - FLASH) < 0.03
    last, duration = packets(output, "0:a:0")[-1]
    last_before, duration_before = packets(video, "0:a:0")[-1]
    assert abs(last + duration - last_before - duration_before) < 0.01
    assert not list(tmp_path.glob("*.lwi"))


def test_a_part_takes_its_own_audio(tmp_path: Path, weights: Path) -> None:
    video = flash_video(tmp_path / "in.mkv", offset=0.25)
    output = tmp_path / "out.mkv"
    assert render(weights, video, output, "-s", 20, "-e", 67, "-r", 2).frames == 48
    times = [time for time, _ in packets(output, "0:v:0")]
    assert times[0] < 0.01
    image, audio = times[int(np.argmax(luma(output) > 128))], tone_start(output)
    assert abs(image - (FLASH - 0.25 - 20 * 1001 / 48000)) < 1 / 23
    assert abs(image - audio) < 1 / 23
    begin, _ = packets(output, "0:a:0")[0]
    end = sum(packets(output, "0:a:0")[-1])
    assert 0 <= begin < 0.12
    assert abs(end - 48 * 1001 / 48000) < 0.12


def test_tags_aspect_depth_and_subtitles_survive(tmp_path: Path, weights: Path) -> None:
    words = tmp_path / "a.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:00,200\nhello\n")
    tags = (
        "-vf",
        "setsar=4/3",
        "-color_range",
        "tv",
        "-colorspace",
        "bt2020nc",
        "-color_primaries",
        "bt2020",
        "-color_trc",
        "smpte2084",
    )
    image = moving_video(tmp_path / "a.mkv", *tags, "-c:v", "libx264", "-pix_fmt", "yuv420p10le", frames=4)
    video = make(tmp_path / "in.mkv", "-i", image, "-i", words, "-c", "copy", "-metadata:s:s:0", "language=deu")
    output = tmp_path / "out.mkv"
    assert render(weights, video, output).frames == 8
    message = listing(output)
    assert "yuv420p10le(tv, bt2020nc/bt2020/smpte2084" in message
    assert "SAR 4:3" in message
    assert "(ger): Subtitle: subrip" in message or "(deu): Subtitle: subrip" in message


def test_source_frames_come_out_bit_for_bit(tmp_path: Path, weights: Path) -> None:
    """Through a lossless encoder, tags and all filters included."""
    video = moving_video(
        tmp_path / "in.mkv",
        "-c:v",
        "ffv1",
        "-pix_fmt",
        "yuv420p",
        "-colorspace",
        "smpte170m",
        "-color_range",
        "tv",
        frames=4,
    )
    output = tmp_path / "out.mkv"
    options = ("--model", MODEL, "--weights", weights, "--encoder", "ffv1")
    assert main(["render", str(video), "-o", str(output), *map(str, options)]) == 0
    before, after = (images(path, 96, 64) for path in (video, output))
    assert len(after) == 8
    for index, image in enumerate(before):
        assert after[2 * index] == image


def test_rgb_becomes_what_encoders_take(tmp_path: Path, weights: Path) -> None:
    video = moving_video(tmp_path / "in.mkv", "-c:v", "ffv1", "-pix_fmt", "gbrp10le", frames=3)
    output = tmp_path / "out.mkv"
    assert render(weights, video, output, "-a", "streams=1", "-a", "scene=off").frames == 6
    assert "yuv444p10le" in listing(output)


@pytest.mark.parametrize(("pixels", "encoder"), [("bgra", "ffv1"), ("bgr0", "libx264rgb")])
def test_rgb_and_alpha_go_through_vspipe_bit_for_bit(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], pixels: str, encoder: str
) -> None:
    video = painted(tmp_path / "in.mkv", "ffv1", pixels, size="96x64")
    output = tmp_path / "out.mkv"
    options = (
        "--model",
        MODEL,
        "--weights",
        weights,
        "--encoder",
        encoder,
        *(("--crf", 0) if encoder != "ffv1" else ()),
    )
    assert main(["render", str(video), "-o", str(output), *map(str, options)]) == 0
    assert "not carried over" not in capsys.readouterr().err
    planes = "gbrap" if pixels == "bgra" else "gbrp"
    before, after = (samples(path, planes).reshape(-1, len(planes) - 1, 64, 96) for path in (video, output))
    assert len(after) == 6
    assert (after[::2] == before).all()
    assert (after[1::2][:2] != before[:2]).any()
    if pixels == "bgra":
        assert len(np.unique(after[1, 3])) > 100


def test_the_users_pixel_format_counts(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = painted(tmp_path / "in.mkv", "ffv1", "bgra")
    output = tmp_path / "out.mkv"
    options = (
        "--model",
        MODEL,
        "--weights",
        weights,
        "--encoder",
        "ffv1",
        "--multi",
        "1",
        "--encoder-args=-pix_fmt yuv420p10le",
    )
    assert main(["render", str(video), "-o", str(output), *map(str, options)]) == 0
    assert "yuv420p10le(tv, bt709" in listing(output).replace("tv, bt709/unknown/unknown", "tv, bt709")
    assert "transparency, RGB (it becomes YUV 4:2:0, BT.709)" in capsys.readouterr().err


def test_a_variable_rate_needs_a_target_rate(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = moving_video(
        tmp_path / "in.mkv",
        "-vf",
        "select='lt(mod(n,10),6)'",
        "-fps_mode",
        "vfr",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        frames=18,
        rate="25",
    )
    output = tmp_path / "out.mkv"
    assert "in.mkv has a variable frame rate" in refused(
        capsys, video, "-o", output, "--model", MODEL, "--weights", weights
    )
    summary = render(weights, video, output, "--fps", 50)
    assert summary.source_rate == "25"
    end = sum(packets(output, "0:v:0")[-1])
    assert abs(end - sum(packets(video, "0:v:0")[-1])) < 0.09
    assert Fraction(summary.rate) == 50


def test_vspipes_word_is_passed_on(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = moving_video(tmp_path / "in.mkv", frames=3)
    message = refused(
        capsys, video, "-o", tmp_path / "out.mkv", "--model", MODEL, "--weights", weights, "--device", "cuda:99"
    )
    assert "vsvfi: vspipe: interpolate: device='cuda:99'" in message
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv"}


def test_a_part_outside_the_output(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = moving_video(tmp_path / "in.mkv", frames=3)
    message = refused(capsys, video, "-o", tmp_path / "out.mkv", "--model", MODEL, "--weights", weights, "-s", 600)
    assert message.endswith("start=600, the output has 6 frames, numbered from 0; choose a part inside it")
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.mkv", "-o", "out.mkv"), "absent.mkv is not a file; give the video to interpolate"),
        (("in.mkv", "-o", "out.xyz"), "its format is not known by the name"),
        (("in.mkv", "-o", "no/such/folder/out.mkv"), "does not exist; create it first"),
        (("in.mkv", "-o", "in.mkv", "--overwrite"), "is the source itself; choose another name"),
        *(
            (("in.mkv", "-o", "there.mkv", "--overwrite", option, "there.mkv"), "is a file that the render reads")
            for option in ("--weights", "--filter", "--timecodes")
        ),
        (("in.mkv", "-o", "there.mkv"), "exists; choose another name or pass --overwrite"),
        (("in.mkv", "-o", "out.mkv"), "in.mkv cannot be read as video"),
        (("in.mkv", "-o", "out.mkv", "--multi", "0"), "multi='0', must be a number from 1"),
        (("in.mkv", "-o", "out.mkv", "-a", "colour=1"), "is not NAME=VALUE of an argument of interpolate()"),
        (("in.mkv", "-o", "out.mkv", "-a", "scen_threshold=1"), "interpolate(); did you mean scene_threshold=?"),
        (("in.mkv", "-o", "out.mkv", "-a", "streams=many"), "streams='many', must be a whole number"),
        (("in.mkv", "-o", "out.mkv", "--encoder", "no_such"), "has no encoder 'no_such'"),
    ],
)
def test_what_cannot_end_well_is_refused_at_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.mkv", "there.mkv"):
        (tmp_path / name).write_bytes(b"no video")
    line = refused(capsys, *arguments)
    assert message in line
    assert "\n" not in line
    assert (tmp_path / "there.mkv").read_bytes() == b"no video"
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv", "there.mkv"}


def test_odd_names_a_device_list_an_end_beyond_the_end_and_encoder_arguments(tmp_path: Path, weights: Path) -> None:
    """One render of everything that must simply work.

    It runs in the folder, since relative names are the ones that are misread.
    """
    folder = tmp_path / "Re: 100% 'it'"
    folder.mkdir()
    moving_video(folder / "in.mkv", frames=4)
    video, output = "-Show: é\n1 %d.mkv", os.fsdecode(b"-Show: caf\xe9\n2 %d.mkv")
    (folder / "in.mkv").rename(folder / video)
    options = ("--model", MODEL, "--weights", weights, "--preset", "ultrafast", "--crf", "17.5", "--encoder", "libx264")
    more = ("-a", "device=['cpu']", "-s", "2", "-e", "99", "--encoder-args=-tune film -g 1", f"--output={output}")
    command = [sys.executable, "-m", "vsvfi", "render", *map(str, options), *more, "--", video]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert "the output ends with frame 7, before end=99" in done.stderr
    assert {path.name for path in folder.iterdir()} == {video, output}
    with open_container(pyav(), folder / output) as container:
        assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size] == [True] * 6  # -g 1


def test_a_name_that_is_no_text_gets_a_link(tmp_path: Path) -> None:
    """Source filters take text only."""
    video = tmp_path / os.fsdecode(b"caf\xe9 %d.mkv")
    video.write_bytes(b"content")
    (tmp_path / "scratch").mkdir()
    readable = readable_name(video, tmp_path / "scratch")
    assert str(readable).isascii()
    assert (readable.suffix, readable.read_bytes()) == (".mkv", b"content")


def test_webm_gets_what_it_holds(tmp_path: Path, weights: Path) -> None:
    audio = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=0.2", "-f", "lavfi", "-i", "sine=duration=0.2")
    video = make(tmp_path / "in.mkv", *audio, "-c:v", "libx264", "-c:a", "aac")
    output = tmp_path / "out.webm"
    options = ("--model", MODEL, "--weights", weights, "-e", "3")
    assert main(["render", str(video), "-o", str(output), *map(str, options)]) == 0
    assert "Video: vp9" in listing(output)
    assert "Audio: opus" in listing(output)


def test_the_summary_and_the_progress_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary("o.mkv", "builtin", "cpu", "libx265", 10, "25", 20, "50", 4.0, 5.0)
    assert (
        describe(summary)
        == "o.mkv: 10 frames at 25 fps in, 20 frames at 50 fps out, 4.0 s (5.00 frames/s), builtin on cpu, libx265"
    )
    report = progress_line()
    report(5, 20, 2.5)
    report(20, 20, 2.5)
    assert capsys.readouterr().err == "frame 20/20, 2.50 frames/s, 0 s left\n"
    assert dataclasses.asdict(summary)["frames"] == 20


def test_a_short_file_is_refused_though_every_program_succeeded(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    video = moving_video(tmp_path / "in.mkv", frames=8)
    folder = tmp_path / "bin"
    folder.mkdir()
    wrapper = folder / "ffmpeg"
    short = f'head -c 40000 | "{ffmpeg()}" "$@"; cat > /dev/null'
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *rawvideo*) {short};; *) exec "{ffmpeg()}" "$@";; esac\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    output = tmp_path / "out.mkv"
    message = refused(capsys, video, "-o", output, "--model", MODEL, "--weights", weights, "--encoder", "ffv1")
    assert re.search(r"the finished file holds \d of 16 frames", message)
    assert not output.exists()


def test_what_is_lost_is_said_in_one_line(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = moving_video(tmp_path / "in.mkv", "-c:v", "ffv1", "-pix_fmt", "yuva420p", frames=3)
    options = ("--model", MODEL, "--weights", weights, "--encoder", "libx264", "--multi", "1")
    assert main(["render", str(video), "-o", str(tmp_path / "out.mkv"), *map(str, options)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("not carried over")]
    assert lines == ["not carried over (libx264, .mkv to matroska): transparency"]


def test_a_folder_as_output_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = moving_video(tmp_path / "in.mkv", frames=2)
    assert refused(capsys, video, "-o", tmp_path).endswith("is a folder; give the name of a file in it")
