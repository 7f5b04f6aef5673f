"""The clip that `vsvfi bench` interpolates."""

from __future__ import annotations

import numpy as np
import vapoursynth as vs


def moving_clip(width: int, height: int, frames: int) -> vs.VideoNode:
    """A moving texture as a YUV420P8 clip at 24 fps.

    It costs almost nothing to generate, and no two neighbouring frames are equal.
    """
    core = vs.core.core
    reach = 64

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for plane, period in enumerate((9.0, 23.0, 31.0)):
            pixels = np.asarray(out[plane])
            y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
            pixels[:] = np.rint(
                128 + 50 * np.sin(x / period) * np.cos(y / (period + 4)) + 30 * np.sin((x + 2 * y) / (3 * period))
            ).astype(np.uint8)
        return out

    still = core.std.BlankClip(
        width=width + reach, height=height + reach, format=vs.YUV420P8, length=1, fpsnum=24, fpsden=1
    )
    still = still.std.SetFrameProps(_Matrix=1, _Primaries=1, _Transfer=1)
    with still.std.ModifyFrame(still, draw).get_frame(0) as drawn:
        keep = drawn.copy()
    still = still.std.ModifyFrame(still, lambda n, f: keep)
    offsets = [2 * abs(n % reach - reach // 2) for n in range(frames)]
    return core.std.Splice(
        [still.std.CropAbs(width=width, height=height, left=offset, top=offset // 4 * 2) for offset in offsets]
    )
