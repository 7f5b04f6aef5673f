"""Frames of encoded files get their own times, and the last one its end."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.cli.media_files import moving_video, packets, run_ffmpeg
from vsvfi.errors import VsvfiError
from vsvfi.media.retime import write_retimed

TIMES = [Fraction(20 * n, 1000) for n in range(6)] + [Fraction(100 + 70 * n, 1000) for n in range(1, 6)]


@pytest.mark.parametrize("codec", [("-c:v", "libx264", "-bf", 2), ("-c:v", "ffv1"), ("-c:v", "libvpx-vp9")])
@pytest.mark.parametrize(("lasts", "stated"), [(47, 47), (2000, 70)])
def test_times_and_the_end_are_exact(tmp_path: Path, codec: tuple[object, ...], lasts: int, stated: int) -> None:
    """A last frame that is held for long does not set the duration that is stated for all."""
    times = [*TIMES[:10], TIMES[9] + Fraction(lasts, 1000), Fraction(100)]
    files = [moving_video(tmp_path / f"{n}.mkv", *codec, frames=5, rate="50") for n in range(2)]
    middle, output = tmp_path / "middle.mkv", tmp_path / "out.mkv"
    with open(middle, "wb") as sink:
        write_retimed(files, [0, 5], times, sink)
    assert run_ffmpeg("-v", "error", "-i", middle, "-c", "copy", output).returncode == 0
    found = packets(output, "0:v:0")
    assert [time for time, _ in found] == pytest.approx([float(time) for time in times[:10]], abs=1e-6)
    with av.open(str(output)) as container:
        assert container.duration == 1_000_000 * times[10]
        assert container.streams.video[0].average_rate == Fraction(1000, stated)


def test_a_file_with_too_many_frames_is_refused(tmp_path: Path) -> None:
    path = moving_video(tmp_path / "a.mkv", frames=5)
    with pytest.raises(VsvfiError, match=r"a\.mkv has 5 frames, which are too many; render with --restart"):
        write_retimed([path], [0], TIMES[:5], io.BytesIO())
