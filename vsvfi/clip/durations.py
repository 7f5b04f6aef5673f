"""Split the durations that source frames state among output frames, and report where a constant rate ignores them.

Source filters give a file of variable rate a constant average `clip.fps` and true `_DurationNum/_DurationDen` on its
frames, so frames are believed before the clip is.
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
"""Seconds of output frame n, from its source frame and the `ahead` frames after it; None where nothing says."""


def split_durations(timeline: Timeline) -> tuple[int, DurationOf]:
    """How many source frames after the current one are needed, and durations that add up to those of the source."""
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
    """The same for an output of constant rate; the first source frame that lasts another time than its rate says is
    logged.
    """
    warn, rate = once(vs.MESSAGE_TYPE_WARNING), timeline.source_rate

    def duration_of(n: int, frames: Sequence[vs.VideoFrame]) -> Fraction | None:
        given = read_duration(frames[0].props)
        if rate is not None and given is not None and given > 0 and abs(given - 1 / rate) > _STAMP:
            warn(
                f"source frame {timeline.source_index(n)} lasts {float(given):.4f} s, but the clip's rate of {rate} "
                f"says {float(1 / rate):.4f} s. fps= places frames by the clip's rate, so picture and sound drift "
                "apart; use multi=, which keeps every duration, or 'vsvfi render FILE --fps', which knows every "
                "frame's time"
            )
        duration = timeline.duration(n)
        return None if duration is None else storable(duration)

    return 0, duration_of


def _stated(frame: vs.VideoFrame, index: int, rate: Fraction | None) -> Fraction | None:
    """Seconds of source frame `index`: its own, else by the clip's rate; None where nothing says.

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
