"""Headerless YUV files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.media_files import make, run_ffmpeg
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.media.raw_yuv import RawYUV, pixel_format_of_name

pytest.importorskip("av", reason="PyAV converts the samples")


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le", "yuv422p16le"])
@pytest.mark.parametrize("matrix", ["601", "709"])
def test_frames_are_those_that_ffmpeg_reads(tmp_path: Path, pixel_format: str, matrix: str) -> None:
    source = ["-f", "lavfi", "-i", "testsrc2=size=98x64:rate=25", "-frames:v", 3]
    path = make(tmp_path / "a.yuv", *source, "-pix_fmt", pixel_format, "-f", "rawvideo")
    raw = RawYUV.of(path, (98, 64), pixel_format, matrix)
    assert raw.frames == 3
    still = raw.read(2)
    assert still.bits == (8 if pixel_format.endswith("p") else 16)
    conversion = f"scale=in_color_matrix=bt{matrix}:in_range=tv:flags=bicubic+accurate_rnd+full_chroma_int"
    given = ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", "98x64", "-i", path]
    done = run_ffmpeg(*given, "-vf", conversion, "-pix_fmt", "rgb48le", "-f", "rawvideo", "-")
    expected = np.frombuffer(done.stdout, np.uint16).reshape(3, 64, 98, 3) / 65535
    found = still.colour / np.iinfo(still.colour.dtype).max
    assert np.abs(found - expected[2]).mean() < 0.002
    assert np.abs(found - expected[1]).mean() > 0.01


def test_names_state_formats() -> None:
    assert pixel_format_of_name("Tango_1920x1080_60fps_10bit.yuv") == "yuv420p10le"
    assert pixel_format_of_name("a_444_16bit.yuv") == "yuv444p16le"
    assert pixel_format_of_name("a.yuv") == "yuv420p"


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yuv"
    path.write_bytes(bytes(96 * 64 * 3))
    raw = RawYUV.of(path, (96, 64))
    assert raw.frames == 2
    with pytest.raises(ArgumentError, match="no whole number of yuv420p frames"):
        RawYUV.of(path, (96, 62))
    with pytest.raises(ArgumentError, match="chroma is 2x2 times smaller"):
        RawYUV.of(path, (95, 64))
    with pytest.raises(ArgumentError, match="must be planar YUV"):
        RawYUV.of(path, (96, 64), "nv12")
    path.write_bytes(bytes(96 * 64 * 2))
    with pytest.raises(VsvfiError, match="was changed while it was read"):
        raw.read(1)
