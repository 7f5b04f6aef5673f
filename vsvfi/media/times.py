"""Compute presentation times and the frame rate from packet timestamps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from vsvfi.plan.rates import STANDARD_RATES

_AUDIBLE = Fraction(1, 40)
"""Tolerated deviation of a frame in seconds: below the 45 ms from which early audio is noticed."""

_ROUNDED = Fraction(1, 500)
"""The same where times are exact but for rounding to milliseconds."""

_COARSE = Fraction(1, 200)
"""Ticks from this length in seconds on are too coarse to state a rate: a GIF has centiseconds."""

_MOST_HELD = Fraction(1, 10)
"""Largest share of frames without data at which the declared rate is accepted."""

_STRETCH = 3600
"""Seconds that a frame may last; recordings joined by their bytes have longer gaps, or times that go back."""

_DISCONTINUITY = 10
"""The same where formats allow discontinuities: ffmpeg's limit for transport and program streams."""

_JITTER = Fraction(1, 2)
"""Seconds by which decoding times may go back."""

_MOST_REORDERED = 16
"""Frames that may be stored after one that is shown later, in H.264 and HEVC."""

_REORDER = 4
"""Frames at the end of a truncated file that may follow a gap: reference frames are stored first."""


def presentation_times(
    pts: Sequence[int | None], dts: Sequence[int | None], first: int | None, period: Fraction
) -> list[Fraction]:
    """Return when frames are shown, in order, in units of the stream's time base.

    Args:
        pts: presentation timestamps of the packets, in file order; None where the container stores none.
        dts: decoding timestamps likewise.
        first: the decoder's time of the first frame, None if it has none.
        period: a frame's duration, for streams without any timestamps.
    """
    known = sorted(stamp for stamp in pts if stamp is not None)
    if len(known) == len(pts):
        return [Fraction(stamp) for stamp in known]
    decoding = sorted(stamp for stamp in dts if stamp is not None)
    if known and None in dts and (missing := _missing_at_start(pts)):
        return [known[0] - index * period for index in range(missing, 0, -1)] + [Fraction(stamp) for stamp in known]
    if 2 * len(decoding) > len(dts):
        # Decoding times differ from presentation times by the decoder's delay, known from its first frame.
        delay = 0 if first is None else first - decoding[0]
        times = [Fraction(stamp + delay) for stamp in decoding]
    elif 2 * len(known) > len(pts):
        times = [Fraction(stamp) for stamp in known]
    else:
        times = []
    start = times[-1] + period if times else Fraction(first or 0)
    return times + [start + index * period for index in range(len(pts) - len(times))]


def _missing_at_start(pts: Sequence[int | None]) -> int:
    """Return how many packets lack a time that is before all others, as Matroska cannot express; else 0."""
    untimed = [index for index, stamp in enumerate(pts) if stamp is None]
    return len(untimed) if untimed[0] == 0 and untimed[-1] < len(untimed) + _MOST_REORDERED else 0


def discontinuity(stamps: Sequence[int | None], base: Fraction, *, allowed: bool) -> str:
    """Return where decoding times go back or leave a long gap, so that frames cannot be placed by them; "" if nowhere.

    Args:
        stamps: decoding timestamps, in file order.
        base: their unit in seconds.
        allowed: the format allows discontinuities.
    """
    longest = _DISCONTINUITY if allowed else _STRETCH
    known = [(index, stamp * base) for index, stamp in enumerate(stamps) if stamp is not None]
    for (_, before), (index, after) in pairwise(known):
        if after < before - _JITTER or after > before + longest:
            return f"jump from {float(before):.2f} s to {float(after):.2f} s at frame {index}"
    return ""


def judge(
    times: Sequence[Fraction],
    declared: Fraction | None = None,
    tick: Fraction = Fraction(0),
    *,
    reordered: int = 0,
    exact: bool = False,
) -> tuple[Fraction, bool]:
    """Return the frame rate of these presentation times in seconds, and whether it is constant.

    Args:
        times: in order.
        declared: the rate that the container or the codec states; taken where the times agree with it.
        tick: the times' unit, by which each may be rounded.
        reordered: see `most_reordered`; a file that was cut off may lack as many frames before its last ones.
        exact: the times are meant as they are but for rounding, as in a timecodes file; others may jitter.
    """
    if len(times) < 2 or times[-1] == times[0]:
        return standard_rate(declared) if declared else Fraction(25), True
    whole = times[: _undamaged(times, reordered)] if reordered else times
    period = (whole[-1] - whole[0]) / (len(whole) - 1)
    allowed = _ROUNDED if exact else max(period / 2, _AUDIBLE)
    if tick >= _COARSE:  # the delays of a GIF are meant
        allowed = min(allowed, 2 * tick)
    if all(abs(time - whole[0] - index * period) <= allowed for index, time in enumerate(whole)):
        known = _rounded_standard(whole, tick)
        if known:
            return known, True
        stated = standard_rate(declared) if declared else Fraction(0)
        if stated and abs((len(whole) - 1) / stated - (whole[-1] - whole[0])) <= max(2 * tick, period / 4):
            return stated, True
        return _usual_rate(whole, allowed) or standard_rate(1 / period), True
    return standard_rate(1 / usual_duration(times)), False


def _usual_rate(times: Sequence[Fraction], allowed: Fraction) -> Fraction | None:
    """Return the rate of most frames if it is a standard one and places every frame as well as the mean rate does.

    A single duration may differ: ffmpeg makes the first frame of an MP4 in fragments longer by the audio's delay.
    """
    rate = standard_rate(1 / usual_duration(times))
    fits = all(abs(time - times[0] - index / rate) <= allowed for index, time in enumerate(times))
    return rate if fits and rate in STANDARD_RATES else None


def _rounded_standard(times: Sequence[Fraction], tick: Fraction) -> Fraction | None:
    """Return the standard rate that gives exactly these times in whole ticks, where they are coarse as in a GIF.

    Equal frame durations give their own rate; None if the times are fine, or of no standard rate.
    """
    if tick < _COARSE:
        return None
    delays = {later - earlier for earlier, later in pairwise(times)}
    if len(delays) == 1:
        return 1 / delays.pop()

    def error(rate: Fraction) -> Fraction:
        return max(abs(time - times[0] - index / rate) for index, time in enumerate(times))

    measured = (len(times) - 1) / (times[-1] - times[0])
    near = [rate for rate in STANDARD_RATES if abs(rate - measured) * (len(times) - 1) <= 2 * tick * rate * measured]
    fitting = [rate for rate in near if error(rate) <= tick]
    return min(fitting, key=lambda rate: (rate.denominator, error(rate)), default=None)


def most_reordered(pts: Sequence[int | None]) -> int:
    """Return how many frames at most are stored after one that is shown later; 0 without reordering.

    Args:
        pts: presentation timestamps of the packets, in file order.
    """
    known = [stamp for stamp in pts if stamp is not None]
    rank = {stamp: place for place, stamp in enumerate(sorted(known))}
    return max((rank[stamp] - index for index, stamp in enumerate(known)), default=0)


def _undamaged(times: Sequence[Fraction], reordered: int) -> int:
    """Return how many frames precede a gap at the very end.

    Such a gap occurs where a file was cut off between reordered frames: whole frames are missing, no more of them than
    are reordered. Longer ones are last frames that are shown for longer.
    """
    deltas = [later - earlier for earlier, later in pairwise(times)]
    usual = usual_duration(times)
    tail = range(max(len(deltas) - _REORDER, 1), len(deltas))
    gap = next((index for index in tail if 2 * deltas[index] > 3 * usual), None)
    if gap is None or any(2 * delta > 3 * usual for delta in deltas[:gap]):
        return len(times)
    steps = [round(delta / usual) for delta in deltas[gap:]]
    missing = sum(steps) - len(steps)
    whole = all(abs(delta - step * usual) < usual / 4 for delta, step in zip(deltas[gap:], steps, strict=True))
    return gap + 1 if whole and missing <= reordered else len(times)


def usual_duration(times: Sequence[Fraction]) -> Fraction:
    """Return the mean of the most frequent frame durations, grouping those that differ only by rounding."""
    deltas = sorted(later - earlier for earlier, later in pairwise(times) if later > earlier)
    best = (0, deltas[0])
    end = 0
    for begin, shortest in enumerate(deltas):
        widest = shortest + max(shortest / 10, Fraction(2, 1000))
        while end < len(deltas) and deltas[end] <= widest:
            end += 1
        if end - begin > best[0]:
            best = (end - begin, sum(deltas[begin:end], Fraction(0)) / (end - begin))
    return best[1]


def standard_rate(rate: Fraction) -> Fraction:
    """Return the exact rate of a measured one: 23.976 is 24000/1001, which milliseconds cannot express."""
    whole = Fraction(round(rate))
    ntsc = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    nearest = min((whole, ntsc), key=lambda candidate: abs(candidate - rate))
    if nearest > 0 and abs(nearest - rate) * 2000 < rate:
        return nearest
    return rate.limit_denominator(1001)


def held_frames(times: Sequence[Fraction], rate: Fraction, tick: Fraction) -> tuple[int, ...]:
    """Return which frames to repeat if a container counts time in frames, as AVI does, and few of them store no data.

    Args:
        times: of the frames shown.
        rate: that the container declares.
        tick: the unit of its times in seconds.

    Returns:
        Each frame's index as often as the frame is shown; empty if the rate is not constant in this way.
    """
    if tick * rate != 1:
        return ()
    held = [index for index, (begin, end) in enumerate(pairwise(times)) for _ in range(round((end - begin) / tick) - 1)]
    return tuple(held) if len(held) <= _MOST_HELD * len(times) else ()


def first_at(times: Sequence[Fraction], start: Fraction) -> int:
    """Return the index of the first time that is not before `start`."""
    return bisect_left(times, start)
