"""Frame times and other streams of files, as a render must know them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli.media_files import ffmpeg, flash_video, make, moving_video
from vsvfi.cli.media import judge, last_line, probe, standard_rate
from vsvfi.errors import VsvfiError


@pytest.mark.parametrize(
    ("measured", "exact"),
    [
        (Fraction(23976, 1000), Fraction(24000, 1001)),
        (Fraction(19001, 317), Fraction(60000, 1001)),
        (Fraction(25001, 1000), Fraction(25)),
        (Fraction(24), Fraction(24)),
        (Fraction(15), Fraction(15)),
        (Fraction(25, 2), Fraction(25, 2)),
        (Fraction(1, 3), Fraction(1, 3)),
    ],
)
def test_a_measured_rate_is_the_exact_rate_it_stands_for(measured: Fraction, exact: Fraction) -> None:
    assert standard_rate(measured) == exact


def test_times_in_milliseconds_are_constant() -> None:
    assert judge([Fraction(round(1000 * n * 1001 / 24000), 1000) for n in range(200)]) == (Fraction(24000, 1001), True)


def test_frames_that_stay_away_are_not_constant() -> None:
    assert judge([Fraction(n, 30) for n in range(300) if n % 10 < 7]) == (Fraction(30), False)


def test_a_single_frame_has_some_rate() -> None:
    assert judge([Fraction(0)]) == (Fraction(25), True)


def test_probe_reads_rate_offset_and_streams(tmp_path: Path) -> None:
    media = probe(flash_video(tmp_path / "a.mkv", offset=0.25), ffmpeg())
    assert (media.frames, media.rate, media.constant) == (48, Fraction(24000, 1001), True)
    assert media.audio == ("flac",)
    assert abs(float(media.offset) - 0.25) < 0.002


def test_probe_tells_subtitles_and_attachments(tmp_path: Path) -> None:
    words, font = tmp_path / "a.srt", tmp_path / "a.ttf"
    words.write_text("1\n00:00:00,000 --> 00:00:00,200\nhello\n")
    font.write_bytes(b"font")
    video = moving_video(tmp_path / "a.mkv")
    path = make(
        tmp_path / "b.mkv", "-i", video, "-i", words, "-attach", font, "-metadata:s:t", "mimetype=application/x-truetype-font", "-c:v", "copy", "-c:s", "srt"
    )
    media = probe(path, ffmpeg())
    assert media.subtitles == ("subrip",)
    assert media.attachments


def test_a_variable_rate_is_noticed(tmp_path: Path) -> None:
    path = moving_video(tmp_path / "a.mkv", "-vf", "select='lt(mod(n,10),6)'", "-fps_mode", "vfr", "-c:v", "libx264", frames=30, rate="25")
    media = probe(path, ffmpeg())
    assert (media.rate, media.constant) == (Fraction(25), False)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", "-f", "lavfi", "-i", "sine=duration=0.1")
    with pytest.raises(VsvfiError, match="has no video stream"):
        probe(path, ffmpeg())


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"no video at all" * 100)
    with pytest.raises(VsvfiError, match=r"a\.mkv cannot be read as video: .+"):
        probe(path, ffmpeg())


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.avi", "-f", "lavfi", "-i", "testsrc2=size=96x64:duration=0.2", "-frames:v", "0", "-c:v", "mpeg4")
    with pytest.raises(VsvfiError, match="holds no video frames"):
        probe(path, ffmpeg())


def test_last_line_drops_the_programs_prefix() -> None:
    assert last_line("a\n[matroska @ 0x55] broken\r\n\n", "nothing") == "broken"
    assert last_line(" \n", "nothing") == "nothing"
