"""Choose the timeline of the output from a clip and the arguments."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import vapoursynth as vs

from vsvfi.clip.log import inform
from vsvfi.errors import ArgumentError
from vsvfi.options import Options
from vsvfi.plan.curve import curved
from vsvfi.plan.rates import check_storable, source_rate_for
from vsvfi.plan.timed import timed
from vsvfi.plan.timeline import Timeline


def timeline_of(clip: vs.VideoNode, options: Options, times: Sequence[Fraction] | None) -> Timeline:
    """Return the timeline of the output.

    Args:
        clip: the source.
        options: the arguments of `interpolate()`.
        times: as in `interpolate_with_config()`.

    Raises:
        ArgumentError: the clip has no rate, or not one that suits the arguments.
    """
    if options.curve is not None:
        rate = Fraction(clip.fps) * options.multi if clip.fps else None
        return curved(options.curve, clip.num_frames, options.multi, options.fps or rate)
    by_time = None if times is None or options.fps is None else timed(times, clip.num_frames, options.fps)
    timeline = by_time or _by_rate(clip, options)
    if timeline.truncated:
        vs.core.log_message(
            vs.MESSAGE_TYPE_WARNING,
            f"interpolate: the output is cut off after {timeline.length} frames, the most that a clip can hold",
        )
    return timeline


def _by_rate(clip: vs.VideoNode, options: Options) -> Timeline:
    """The timeline of an output of even rate."""
    rate = Fraction(clip.fps) if clip.fps else None
    if options.fps is None:
        check_storable("multi", options.multi, rate, options.multi)
        return Timeline(options.multi, clip.num_frames, rate)
    if rate is None:
        raise ArgumentError(
            "fps",
            str(options.fps),
            "needs a clip of constant frame rate",
            "use multi=, or give the clip a rate first with clip.std.AssumeFPS(fpsnum=24000, fpsden=1001)",
        )
    counted = source_rate_for(options.fps, rate)
    factor = options.fps / counted
    if not Fraction(1, 8) <= factor <= 1000:
        raise ArgumentError(
            "fps",
            str(options.fps),
            f"must be 1/8 to 1000 times the clip's rate of {rate}",
            "choose a nearer rate, or std.SelectEvery frames first",
        )
    check_storable("fps", options.fps, counted, factor)
    if counted != rate:
        inform(f"the clip's rate of {rate} is a rounded form of {counted}; using {counted} as the source rate")
    return Timeline(factor, clip.num_frames, counted)
