"""Times of the output frames where the source's own times are kept (`--vfr`)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from vsvfi.plan.timed import LONGEST_STEP


def split_times(times: Sequence[Fraction], factor: int) -> tuple[Fraction, ...]:
    """Return the start of each output frame, with `factor` per source frame, and the end of the last.

    Every source frame keeps its time. The frames between two divide the time between them, except where it exceeds four
    usual durations: such a frame is held, and motion happens in the last usual duration before the next one.

    Args:
        times: start of each source frame in seconds, in order, and the end of the last; the first becomes 0.
        factor: output frames per source frame.
    """
    shifted = [time - times[0] for time in times]
    durations = sorted(end - begin for begin, end in pairwise(shifted))
    usual = durations[len(durations) // 2]
    found = []
    for begin, end in pairwise(shifted):
        start = end - usual if end - begin > LONGEST_STEP * usual else begin
        found += [begin, *(start + (end - start) * Fraction(number, factor) for number in range(1, factor))]
    return (*found, shifted[-1])
