"""Average several interpolated times of each output frame in linear light, as an open shutter does."""

from __future__ import annotations

from collections.abc import Sequence

import vapoursynth as vs

from vsvfi.clip import decisions
from vsvfi.clip.alpha import attached
from vsvfi.clip.colour import Colour
from vsvfi.clip.failures import reporting
from vsvfi.clip.props import read_integer
from vsvfi.clip.scene_linear import LINEAR, compressed, expanded
from vsvfi.errors import ClipError
from vsvfi.plan.timeline import Copy

_TRANSFERS = frozenset({1, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 18})
"""H.273 transfer codes that zimg converts to linear light."""

_UNSPECIFIED = 2


def check_transfer(clip: vs.VideoNode) -> int:
    """The transfer of a clip by its first frame, BT.709 if that has none or cannot be read.

    Raises:
        ClipError: it has no inverse here.
    """
    try:
        with clip.get_frame(0) as frame:
            code = read_integer(frame.props, "_Transfer", _UNSPECIFIED)
    except vs.Error:  # `check_clip` has warned of it, and other frames may be readable
        code = _UNSPECIFIED
    if code == _UNSPECIFIED:
        return 1
    if code not in _TRANSFERS:
        raise ClipError(
            f"frames have _Transfer {code}, which cannot be made linear for shutter=",
            "set the right one with std.SetFrameProps(_Transfer=...)",
        )
    return code


def motion_blurred(
    samples: vs.VideoNode,
    plan: vs.VideoNode,
    count: int,
    shown: vs.VideoNode,
    matrix: int | None,
    transfer: int,
    alpha: vs.VideoNode | None = None,
) -> vs.VideoNode:
    """Return the mean of every `count` frames of `samples`, with the props of `shown`.

    A frame whose samples are all the same source frame is passed through.

    Args:
        samples: of `ShutterTimeline`, in the source's format.
        plan: of `decision_clip` for them.
        count: samples per output frame, 2 to 31.
        shown: the source frame of each output frame.
        matrix: as in `interpolate()`.
        transfer: of `check_transfer`.
        alpha: the mean of the samples' alphas, or None if there are none.
    """
    colour = Colour(shown, vs.RGBS, matrix)
    parts = split_samples(samples, count)
    rgbs = [colour.to_rgb(part) for part in parts]
    mean = vs.core.std.AverageFrames([_linear(rgb, transfer) for rgb in rgbs], [1] * count)
    coded = _coded(mean, transfer)
    blurred = colour.from_rgb(coded, shown, coded, coded).std.CopyFrameProps(shown)
    blurred = blurred if alpha is None else attached(blurred, alpha)
    still = parts[0].std.CopyFrameProps(shown)

    def choose(n: int, f: vs.VideoFrame | Sequence[vs.VideoFrame]) -> vs.VideoNode:
        planned = [decisions.shown(frame) for frame in ([f] if isinstance(f, vs.VideoFrame) else f)]
        return still if isinstance(planned[0], Copy) and len(set(planned)) == 1 else blurred

    plans = split_samples(plan, count)
    return blurred.std.FrameEval(reporting(choose), prop_src=plans, clip_src=[still, blurred])


def split_samples(samples: vs.VideoNode, count: int) -> list[vs.VideoNode]:
    """One clip for each of the `count` samples of an output frame."""
    return [samples.std.SelectEvery(count, offset, modify_duration=False) for offset in range(count)]


def _linear(rgb: vs.VideoNode, transfer: int) -> vs.VideoNode:
    if transfer == LINEAR:
        return expanded(rgb)
    return rgb.std.RemoveFrameProps().resize.Point(transfer_in=transfer, transfer=LINEAR, primaries_in=1, primaries=1)


def _coded(rgb: vs.VideoNode, transfer: int) -> vs.VideoNode:
    if transfer == LINEAR:
        return compressed(rgb)
    return rgb.std.RemoveFrameProps().resize.Point(transfer_in=LINEAR, transfer=transfer, primaries_in=1, primaries=1)
