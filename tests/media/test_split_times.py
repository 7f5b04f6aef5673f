"""Times of output frames that keep those of the source."""

from __future__ import annotations

from fractions import Fraction

from vsvfi.media.split_times import split_times


def test_source_frames_keep_their_times_and_long_holds_stay_still() -> None:
    times = [Fraction(n) for n in (5, 6, 7, 9, 19, 20)]
    found = split_times(times, 2)
    assert found[::2] == (0, 1, 2, 4, 14, 15)
    assert found[1::2] == (Fraction(1, 2), Fraction(3, 2), 3, Fraction(27, 2), Fraction(29, 2))
    assert split_times(times, 4)[12:16] == (4, Fraction(53, 4), Fraction(27, 2), Fraction(55, 4))
    assert split_times(times, 1) == tuple(time - 5 for time in times)
