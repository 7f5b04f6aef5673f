"""Images as a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs

from tests.cli.media_files import make
from vsvfi.cli.image_clip import open_images
from vsvfi.clip.alpha import ALPHA
from vsvfi.media.stills import Still, write_png


def test_frames_are_the_images(tmp_path: Path) -> None:
    files = []
    for number in range(12):
        colour = np.full((4, 6, 3), (number, 2 * number, 3 * number), np.uint16) * 771
        write_png(tmp_path / f"{number}.png", Still(colour, np.full((4, 6), number, np.uint16)))
        files.append(str(tmp_path / f"{number}.png"))
    clip = open_images(files, "gbrap16le")
    assert (clip.format.id, clip.width, clip.height, clip.num_frames) == (vs.RGB48, 6, 4, 12)
    for number in (11, 0, 5):
        with clip.get_frame(number) as frame:
            assert [int(np.asarray(frame[plane])[3, 5]) for plane in range(3)] == [n * number * 771 for n in (1, 2, 3)]
            assert int(np.asarray(frame.props[ALPHA][0])[0, 0]) == number
            assert [frame.props[name] for name in ("_Matrix", "_Range", "_Transfer")] == [0, vs.RANGE_FULL, 13]
    write_png(tmp_path / "3.png", Still(np.zeros((4, 8, 3), np.uint8)), overwrite=True)
    with pytest.raises(vs.Error, match=r"source frame 3: .*3.png has 8x4 pixels instead of 6x4"):
        clip.get_frame(3)


def test_linear_light_becomes_srgb(tmp_path: Path) -> None:
    """EXR: 0.5 in linear light is 0.735 in sRGB; values above 1 are clipped."""
    data = tmp_path / "a.raw"
    data.write_bytes(np.stack([np.full((4, 6), value, np.float32) for value in (0.5, 0, 3)]).tobytes())
    path = make(tmp_path / "a.exr", "-f", "rawvideo", "-pix_fmt", "gbrpf32le", "-s", "6x4", "-i", data, "-c:v", "exr")
    with open_images([str(path)], "gbrpf32le").get_frame(0) as frame:
        assert frame.format.id == vs.RGB48
        assert frame.props["_Transfer"] == 13
        red, green, blue = (float(np.asarray(frame[plane])[2, 3]) / 65535 for plane in range(3))
    assert (red, blue) == (1, 0)
    assert green == pytest.approx(1.055 * 0.5 ** (1 / 2.4) - 0.055, abs=2e-4)


def test_jpeg_stays_full_range_yuv(tmp_path: Path) -> None:
    path = make(tmp_path / "a.jpg", "-f", "lavfi", "-i", "testsrc2=s=64x32", "-frames:v", 1, "-pix_fmt", "yuvj420p")
    with open_images([str(path)], "yuv420p").get_frame(0) as frame:
        assert frame.format.id == vs.YUV420P8
        assert [frame.props[name] for name in ("_Matrix", "_Range", "_ChromaLocation")] == [5, vs.RANGE_FULL, 1]
