"""Compress scene-linear light to [0, 1] for the network, and expand it again.

Networks are trained on [0, 1]; values outside are cross-faded without motion. Coded video is bounded and needs no
compression, but scene-linear highlights reach thousands. A logarithm preserves exposure steps and covers the range of
half floats:

    y = ln(1 + 64 |x|) / ln(1 + 64 * 65504), with the sign of x

Near the upper end, small errors of a network become large errors of light, so the result is limited to the range of the
two source frames.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import vapoursynth as vs

from vsvfi.clip.failures import reporting
from vsvfi.engine.frame_format import LINEAR_GAIN, LINEAR_SPAN

LINEAR = int(vs.TRANSFER_LINEAR)
"""The code of `_Transfer` for linear light."""

_SIGN = "x 0 < -1 1 ? *"


def compressed(rgb: vs.VideoNode) -> vs.VideoNode:
    """Compress linear light for the network."""
    return rgb.std.Expr(f"x abs {LINEAR_GAIN} * 1 + log {LINEAR_SPAN:.9g} / {_SIGN}")


def expanded(rgb: vs.VideoNode) -> vs.VideoNode:
    """The inverse of `compressed`."""
    return rgb.std.Expr(f"x abs {LINEAR_SPAN:.9g} * exp 1 - {LINEAR_GAIN} / {_SIGN}")


def limited(rgb: vs.VideoNode, first: vs.VideoNode, second: vs.VideoNode) -> vs.VideoNode:
    """Limit each plane of `rgb` to the range of values in the frames of `first` and `second`."""

    def limit(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        between, *ends = cast(list[vs.VideoFrame], f)
        out = between.copy()
        for plane in range(3):
            values = [np.asarray(end[plane]) for end in ends]
            low = min(np.fmin.reduce(value, axis=None) for value in values)
            high = max(np.fmax.reduce(value, axis=None) for value in values)
            target = np.asarray(out[plane])
            np.clip(target, low, high, out=target)
        return out

    return rgb.std.ModifyFrame([rgb, first, second], reporting(limit))
