"""Frame times and other streams of files, as needed by a render."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli.media_files import flash_video, make, moving_video
from vsvfi.errors import VsvfiError
from vsvfi.media.probe import probe


def test_probe_reads_rate_offset_and_streams(tmp_path: Path) -> None:
    media = probe(flash_video(tmp_path / "a.mkv", offset=0.25))
    assert (media.frames, media.rate, media.constant) == (48, Fraction(24000, 1001), True)
    assert media.audio == ("flac",)
    assert abs(float(media.start) - 0.25) < 0.002


def test_probe_tells_subtitles_and_attachments(tmp_path: Path) -> None:
    words, font = tmp_path / "a.srt", tmp_path / "a.ttf"
    words.write_text("1\n00:00:00,000 --> 00:00:00,200\nhello\n")
    font.write_bytes(b"font")
    video = moving_video(tmp_path / "a.mkv")
    path = make(
        tmp_path / "b.mkv",
        "-i",
        video,
        "-i",
        words,
        "-attach",
        font,
        "-metadata:s:t",
        "mimetype=application/x-truetype-font",
        "-c:v",
        "copy",
        "-c:s",
        "srt",
    )
    media = probe(path)
    assert media.subtitles == ("subrip",)
    assert media.attachments


def test_a_variable_rate_is_noticed(tmp_path: Path) -> None:
    path = moving_video(
        tmp_path / "a.mkv",
        "-vf",
        "select='lt(mod(n,10),6)'",
        "-fps_mode",
        "vfr",
        "-c:v",
        "libx264",
        frames=30,
        rate="25",
    )
    media = probe(path)
    assert (media.rate, media.constant) == (Fraction(25), False)


def test_audio_alone_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", "-f", "lavfi", "-i", "sine=duration=0.1")
    with pytest.raises(VsvfiError, match="has no video stream"):
        probe(path)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"no video at all" * 100)
    with pytest.raises(VsvfiError, match=r"a\.mkv cannot be read as video: .+"):
        probe(path)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.avi", "-f", "lavfi", "-i", "testsrc2=size=96x64:duration=0.2", "-frames:v", "0", "-c:v", "mpeg4"
    )
    with pytest.raises(VsvfiError, match="has no video frames"):
        probe(path)


def test_a_video_of_which_nothing_can_be_decoded_is_refused(tmp_path: Path) -> None:
    path = moving_video(tmp_path / "a.mkv", "-c:v", "ffv1", "-bsf:v", "noise=amount=1", frames=4)
    with pytest.raises(
        VsvfiError,
        match=r"a\.mkv (has no video frame that can be decoded; pass another file|cannot be read as video)",
    ):
        probe(path)


def test_images_with_a_colour_profile_are_read(tmp_path: Path) -> None:
    """In a separate process: PyAV would free the profile's name twice, which crashes."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed; it writes the profile")
    for index in range(3):
        image.new("RGB", (32, 16), (40 * index, 0, 0)).save(tmp_path / f"{index}.png", icc_profile=bytes(64))
    video = make(tmp_path / "a.mov", "-i", tmp_path / "%d.png", "-c:v", "copy")
    code = "import pathlib, sys; from vsvfi.media import probe; print(probe.probe(pathlib.Path(sys.argv[1])).frames)"
    done = subprocess.run([sys.executable, "-c", code, str(video)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr


def test_a_gif_has_the_rate_that_its_centiseconds_round(tmp_path: Path) -> None:
    path = make(tmp_path / "a.gif", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24:duration=2")
    media = probe(path)
    assert (media.rate, media.constant, media.frames) == (Fraction(24), True, 48)
