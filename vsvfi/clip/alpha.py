"""Interpolate `_Alpha`, the transparency that source filters attach to frames as a separate frame.

Alpha is passed through the network as a greyscale image. Its edges coincide with those of the colour image, so its
estimated motion matches; an image that mixes both is interpolated worse, because the background moves differently.
Nothing is computed if the alphas of both source frames are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import vapoursynth as vs

from vsvfi.clip.failures import reporting
from vsvfi.clip.log import once

ALPHA = "_Alpha"
MISSING = "_vsvfi_no_alpha"
"""Prop of a placeholder for the missing alpha of a source frame."""

_EQUAL = "_vsvfi_equal"

type Align = Callable[[vs.VideoNode], vs.VideoNode]
"""Aligns a source-aligned clip to the output, by the first or second source frame of an interpolated frame."""

type Between = Callable[[vs.VideoNode, vs.VideoNode], vs.VideoNode]
"""Interpolates between two RGB clips that are aligned to the output."""


def alpha_of(props: Mapping[str, object], width: int, height: int) -> vs.VideoFrame | None:
    """The alpha of a frame of this size if it can be interpolated, else None."""
    value = props.get(ALPHA)
    if not isinstance(value, vs.VideoFrame) or (value.width, value.height) != (width, height):
        return None
    video_format = value.format
    usable = video_format.color_family == vs.GRAY and (
        video_format.sample_type == vs.FLOAT or video_format.bits_per_sample <= 16
    )
    return value if usable else None


def interpolated_alpha(
    clip: vs.VideoNode, format_id: int, rgb_format: int, first: Align, second: Align, between: Between
) -> vs.VideoNode:
    """Interpolate alpha, aligned to the output; frames without alpha have the prop MISSING.

    Args:
        clip: the source.
        format_id: of the alpha.
        rgb_format: the format that `between` works in.
        first: aligns a clip by the first source frame of an output frame.
        second: aligns a clip by the second source frame.
        between: interpolates between two RGB clips.
    """
    alpha = _extracted(clip, format_id)
    depth = vs.GRAYH if rgb_format == vs.RGBH else vs.GRAYS
    grey = _converted(alpha, depth)
    rgb = vs.core.std.ShufflePlanes([grey, grey, grey], planes=[0, 0, 0], colorfamily=vs.RGB)
    planes = between(first(rgb), second(rgb)).std.SplitPlanes()
    mean = vs.core.std.Expr(planes, "x y + z + 3 / 0 max 1 min", format=vs.GRAYS)
    kept = first(alpha)
    computed = _converted(mean, format_id).std.CopyFrameProps(kept)
    equal = _equal(kept, second(alpha))

    def choose(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        return kept if f.props[_EQUAL] else computed

    return computed.std.FrameEval(reporting(choose), prop_src=equal, clip_src=[kept, computed])


def mean_alpha(parts: Sequence[vs.VideoNode], format_id: int) -> vs.VideoNode:
    """The mean of the alphas of several clips, frame by frame; frames of which one carries none have the prop MISSING.

    Args:
        parts: 2 to 31 clips of one length and size.
        format_id: of the alpha.
    """
    alphas = [_extracted(part, format_id) for part in parts]
    mean = vs.core.std.AverageFrames([_converted(alpha, vs.GRAYS) for alpha in alphas], [1] * len(alphas))
    computed = _converted(mean, format_id).std.CopyFrameProps(alphas[0])
    missing = computed.std.SetFrameProps(**{MISSING: 1})

    def choose(n: int, f: list[vs.VideoFrame]) -> vs.VideoNode:
        return missing if any(MISSING in frame.props for frame in f) else computed

    return computed.std.FrameEval(reporting(choose), prop_src=alphas, clip_src=[missing, computed])


def attached(clip: vs.VideoNode, alpha: vs.VideoNode) -> vs.VideoNode:
    """The clip with the frames of another as its alpha, except those with the prop MISSING."""

    def attach(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        if MISSING in f[1].props:
            return f[0]
        out = f[0].copy()
        out.props[ALPHA] = f[1]
        return out

    return clip.std.ModifyFrame([clip, alpha], reporting(attach))


def _extracted(clip: vs.VideoNode, format_id: int) -> vs.VideoNode:
    """The alpha of each source frame."""
    template = clip.std.BlankClip(format=format_id, keep=True)
    missing = template.std.SetFrameProps(**{MISSING: 1})

    def extract(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        frame, empty = cast(list[vs.VideoFrame], f)
        alpha = alpha_of(frame.props, clip.width, clip.height)
        return empty if alpha is None or alpha.format.id != format_id else alpha

    return template.std.ModifyFrame([clip, missing], reporting(extract, "source frame"))


def _converted(grey: vs.VideoNode, format_id: int) -> vs.VideoNode:
    """Convert alpha to another format as full range, whatever its props."""
    bare = grey.std.RemoveFrameProps()
    if grey.format.id == format_id:
        return bare
    return bare.resize.Point(format=format_id, range_in=vs.RANGE_FULL, range=vs.RANGE_FULL)


def _equal(first: vs.VideoNode, second: vs.VideoNode) -> vs.VideoNode:
    """Return a 1x1 clip that marks where both frames are equal or one of them is missing."""
    blank = first.std.BlankClip(width=1, height=1, format=vs.GRAY8, keep=True)
    warn = once(vs.MESSAGE_TYPE_WARNING)

    def compare(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        empty, one, other = cast(list[vs.VideoFrame], f)
        out = empty.copy()
        missing = MISSING in one.props or MISSING in other.props
        if missing:
            warn(
                f"a source frame beside frame {n} carries no {ALPHA} like that of the first frame, "
                "so the interpolated frames next to it keep that of the frame before them"
            )
        out.props[_EQUAL] = int(missing or np.array_equal(np.asarray(one[0]), np.asarray(other[0])))
        return out

    return blank.std.ModifyFrame([blank, first, second], reporting(compare))
