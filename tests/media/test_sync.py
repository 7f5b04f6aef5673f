"""Picture and sound of every container come out as far apart as they were, at the right rate, all frames and
no others."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.cli.media_files import run_ffmpeg
from tests.media.containers import FILES, build, frame_times, passage, sound_start
from vsvfi.media.probe import probe


def pictures(path: Path) -> np.ndarray:
    """All frames as ffmpeg shows them, in gray."""
    raw = ("-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-")
    done = run_ffmpeg("-v", "quiet", "-i", path, *raw)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 48, 64).astype(np.int16)


@pytest.mark.parametrize("name", FILES)
def test_the_rate_is_constant_and_exact(tmp_path: Path, name: str) -> None:
    source, frames = build(name, tmp_path)
    media = probe(source)
    assert (media.rate, media.constant, media.frames) == (Fraction(24000, 1001), True, frames)


@pytest.mark.parametrize("form", [".mkv", ".mp4"])
@pytest.mark.parametrize("name", FILES)
def test_picture_and_sound_stay_as_far_apart(tmp_path: Path, name: str, form: str) -> None:
    source, frames = build(name, tmp_path)
    output = tmp_path / f"out{form}"
    passage(source, output)
    times = frame_times(output)
    assert len(times) == frames
    before, after = pictures(source), pictures(output)
    assert abs(before[:frames] - after).mean() < 8, "other frames than those shown"
    sound = sound_start(source)
    if sound is None:
        assert times[0] < 0.1
    elif form == ".mkv" or "WMV" not in name:  # MP4 cannot hold WMA: it is encoded anew
        distance = frame_times(source)[0] - sound
        heard = sound_start(output)
        assert heard is not None
        assert abs(times[0] - heard - distance) < (0.001 if form == ".mkv" else 0.0005)
