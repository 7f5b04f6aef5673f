"""interpolate() with the packaged network: static regions stay static."""

from __future__ import annotations

import numpy as np
import pytest
import vapoursynth as vs

import vsvfi
from tests.fakes import arrays, painted


@pytest.mark.parametrize("multi", [2, 3])
def test_what_stands_still_beside_motion_does_not_flicker(multi: int) -> None:
    """The packaged network on a clip whose left side is static, in coarse noise, fine noise and hard edges."""

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        rows, columns = np.indices(array.shape)
        array[:] = np.where((rows + columns) // 6 % 2, *((60, 180) if plane == 0 else (115, 140)))
        random = np.random.default_rng(plane)
        array[:24, :32] = (
            random.integers(*((60, 180) if plane == 0 else (120, 136)), (12, 16)).repeat(2, 0).repeat(2, 1)
        )
        array[24:, :32] = random.integers(*((75, 165) if plane == 0 else (120, 136)), (24, 32))
        array[:, 64:] = 128 + (60 if plane == 0 else 20) * np.sin((columns[:, 64:] - 3 * n) / 5) * np.cos(
            rows[:, 64:] / 7
        )

    clip = painted(paint, format=vs.YUV444P8, width=128, height=48, length=3, fpsnum=24)
    result = vsvfi.interpolate(clip, multi=multi, duplicates="off", scene="off", device="cpu")
    for n in range(1, multi):
        frame = result.get_frame(n)
        for ours, theirs in zip(arrays(frame), arrays(clip.get_frame(0)), strict=True):
            # Flow is found on coarse grids, so motion bleeds into its neighbourhood: by up to 20 pixels here.
            assert np.abs(ours[:, :44].astype(int) - theirs[:, :44].astype(int)).max() <= 1
        assert not np.array_equal(arrays(frame)[0][:, 64:], arrays(clip.get_frame(0))[0][:, 64:])
