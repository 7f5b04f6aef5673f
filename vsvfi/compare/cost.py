"""Estimate the cost of a whole video: network passes per source frame, and hours."""

from __future__ import annotations

from fractions import Fraction

from vsvfi.plan.bisection import bisection_path, nearest
from vsvfi.plan.timeline import Interpolate, Timeline

_COUNTED = 20_000
"""Output frames at most that passes are counted over; longer cycles change the result negligibly."""


def passes(factor: Fraction, *, bisection: bool) -> Fraction:
    """Return the network passes per source frame of a long video.

    Args:
        factor: output frames per source frame.
        bisection: the model reaches timesteps other than 1/2 by recursive bisection, one pass per midpoint.
    """
    counted = min(factor.numerator, _COUNTED)  # one cycle: then the times repeat
    timeline = Timeline(factor, factor.denominator + 2, None)
    made: set[tuple[int, Fraction]] = set()
    for n in range(counted):
        step = timeline.step(n)
        if not isinstance(step, Interpolate):
            continue
        if not bisection:
            made.add((step.first, step.t))
            continue
        t = nearest(step.t)
        if 0 < t < 1:
            made.update((step.first, (first + second) / 2) for first, second in bisection_path(t))
    return Fraction(len(made)) * factor / counted


def hours(frames: int, factor: Fraction, seconds: float, *, bisection: bool = False) -> float:
    """Return the hours to interpolate a video, encoding excluded, from the seconds of one pass.

    Args:
        frames: source frames.
        factor: output frames per source frame.
        seconds: per pass.
        bisection: see `passes`.
    """
    return float(frames * passes(factor, bisection=bisection)) * seconds / 3600
