"""Split the source frames' durations among output frames, and report where a constant rate ignores them.

Source filters give a variable-rate file a constant average `clip.fps` but exact `_DurationNum/_DurationDen` props, so
the props take precedence over the clip's rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import vapoursynth as vs

from vsvfi.clip.log import once
from vsvfi.clip.props import read_duration, storable
from vsvfi.errors import ClipError
from vsvfi.plan.timeline import Timeline

_STAMP = Fraction(1, 1000)
"""Containers round times to milliseconds: a frame may last this much longer or shorter at a constant rate."""

type DurationOf = Callable[[int, Sequence[vs.VideoFrame]], Fraction | None]
"""Duration of output frame n in seconds, from its source frame and the `ahead` frames after it; None if unknown."""


def split_durations(timeline: Timeline) -> tuple[int, DurationOf]:
    """Return how many source frames ahead are needed, and a function for durations that add up to the source's."""
    ahead = 0 if timeline.factor.denominator == 1 else 1

    def duration_of(n: int, frames: Sequence[vs.VideoFrame]) -> Fraction | None:
        index, total = timeline.source_index(n), Fraction(0)
        for source_index, share in timeline.shares(n):
            duration = _stated(frames[source_index - index], source_index, timeline.source_rate)
            if duration is None:
                return None
            total += share * duration
        return storable(total)

    return ahead, duration_of


def constant_durations(timeline: Timeline) -> tuple[int, DurationOf]:
    """Like `split_durations`, for an output of constant rate.

    Logs the first source frame whose duration differs from the clip's rate.
    """
    warn, rate = once(vs.MESSAGE_TYPE_WARNING), timeline.source_rate

    def duration_of(n: int, frames: Sequence[vs.VideoFrame]) -> Fraction | None:
        given = read_duration(frames[0].props)
        if rate is not None and given is not None and given > 0 and abs(given - 1 / rate) > _STAMP:
            warn(
                f"source frame {timeline.source_index(n)} lasts {float(given):.4f} s, but the clip's rate of {rate} "
                f"says {float(1 / rate):.4f} s. fps= places frames by the clip's rate, so video and audio drift "
                "apart; use multi=, which keeps every duration, or 'vsvfi render FILE --fps', which knows every "
                "frame's time"
            )
        duration = timeline.duration(n)
        return None if duration is None else storable(duration)

    return 0, duration_of


def _stated(frame: vs.VideoFrame, index: int, rate: Fraction | None) -> Fraction | None:
    """Duration of source frame `index` in seconds: its own, else by the clip's rate; None if neither is known.

    Raises:
        ClipError: the duration is negative, and there is no rate to fall back to.
    """
    given = read_duration(frame.props)
    if rate is not None:
        return given if given is not None and given > 0 else 1 / rate
    if given is not None and given < 0:
        raise ClipError(
            f"source frame {index} has a negative duration",
            "set its duration with std.SetFrameProps or std.AssumeFPS",
        )
    return given
