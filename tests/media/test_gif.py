"""GIF as the input of a render: the times and the transparency of its frames."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.cli.media_files import make
from tests.media.containers import VARIABLE_AT, passage
from tests.media.test_kept_pixels import samples
from vsvfi.media.probe import probe

STAMPS = [0, 4, 8, 12, 16, 26, 36, 46, 56]
"""Centiseconds at which frames begin, and the end of the last: the last four are shown longer."""


def test_frames_keep_their_times_and_their_transparency(tmp_path: Path) -> None:
    """An opaque square moves by four pixels a frame over a transparent ground."""
    square = "format=rgba,geq=r=255:g='X*4':b=0:a='255*between(X,4+N*4,20+N*4)'"
    times = "settb=1/100,setpts='if(lt(N,4),4*N,16+10*(N-4))'"
    palette = "split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse"
    video = f"color=s=64x48:r=25:d=0.32,{square},{times},{palette}"
    path = make(tmp_path / "a.gif", "-f", "lavfi", "-i", video, "-fps_mode", "passthrough")
    media = probe(path)
    assert [100 * stamp for stamp in media.times] == STAMPS
    assert media.alpha

    passage(path, output := tmp_path / "out.mkv", encoder="ffv1")
    with av.open(str(path)) as opened:
        before = np.stack([frame.to_ndarray(format="rgba") for frame in opened.decode(video=0)])
    after = samples(output, "rgba").reshape(-1, 48, 64, 4)
    assert [int(np.argmax(frame[24, :, 3])) for frame in before] == [4 + 4 * number for number in range(8)]
    shown = [bisect_right(STAMPS, 100 * Fraction(number) / VARIABLE_AT) - 1 for number in range(len(after))]
    assert len(after) == round(Fraction(STAMPS[-1], 100) * VARIABLE_AT)
    np.testing.assert_array_equal(after[..., 3], before[shown][..., 3])
    opaque = after[..., 3] > 0
    np.testing.assert_array_equal(after[opaque], before[shown][opaque])
