"""Bring scene-linear light into [0, 1] for the network and back.

Networks know [0, 1]; what lies outside is cross-faded at its place. Video is bounded and passes as it is coded, but
scene-linear highlights reach thousands. A logarithm keeps steps of exposure alike and holds whatever half floats hold:

    y = ln(1 + 64 |x|) / ln(1 + 64 * 65504), with the sign of x

Near its upper end small errors of a network are large ones of light, so the result is limited to the range of the two
source frames.
"""

from __future__ import annotations

from math import log1p
from typing import cast

import numpy as np
import vapoursynth as vs

from vsvfi.clip.failures import reporting

LINEAR = int(vs.TRANSFER_LINEAR)
"""The code of `_Transfer` for linear light."""

_GAIN = 64.0
_SPAN = log1p(_GAIN * 65504.0)
_SIGN = "x 0 < -1 1 ? *"


def compressed(rgb: vs.VideoNode) -> vs.VideoNode:
    """Linear light as the network gets it."""
    return rgb.std.Expr(f"x abs {_GAIN} * 1 + log {_SPAN:.9g} / {_SIGN}")


def expanded(rgb: vs.VideoNode) -> vs.VideoNode:
    """The inverse of `compressed`."""
    return rgb.std.Expr(f"x abs {_SPAN:.9g} * exp 1 - {_GAIN} / {_SIGN}")


def limited(rgb: vs.VideoNode, first: vs.VideoNode, second: vs.VideoNode) -> vs.VideoNode:
    """`rgb` limited, by plane, to the values that occur in the frames of `first` and `second`."""

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
