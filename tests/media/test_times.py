"""From timestamps to presentation times and frame rates."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from vsvfi.media.times import discontinuity, held_frames, judge, presentation_times, standard_rate, usual_duration


@pytest.mark.parametrize(
    ("measured", "exact"),
    [
        (Fraction(23976, 1000), Fraction(24000, 1001)),
        (Fraction(19001, 317), Fraction(60000, 1001)),
        (Fraction(25001, 1000), Fraction(25)),
        (Fraction(24), Fraction(24)),
        (Fraction(15), Fraction(15)),
        (Fraction(25, 2), Fraction(25, 2)),
        (Fraction(1, 3), Fraction(1, 3)),
    ],
)
def test_a_measured_rate_is_the_exact_rate_it_stands_for(measured: Fraction, exact: Fraction) -> None:
    assert standard_rate(measured) == exact


def test_times_in_milliseconds_are_constant() -> None:
    assert judge([Fraction(round(1000 * n * 1001 / 24000), 1000) for n in range(200)]) == (Fraction(24000, 1001), True)


def test_a_first_frame_that_lasts_longer_leaves_the_rate() -> None:
    """As in an MP4 in fragments with audio."""
    times = [Fraction(0), *(Fraction(810 + 512 * n, 12800) for n in range(24))]
    assert judge(times, Fraction(24)) == (25, True)


def test_frames_that_stay_away_are_not_constant() -> None:
    assert judge([Fraction(n, 30) for n in range(300) if n % 10 < 7]) == (Fraction(30), False)


def test_times_that_are_meant_are_kept() -> None:
    """A capture's times may jitter by half a frame, those of a GIF or a timecodes file are exact."""
    times = [Fraction(n, 10) + (n % 3 == 1) * Fraction(4, 100) for n in range(30)]
    assert judge(times, None, Fraction(1, 1000)) == (Fraction(10), True)
    assert not judge(times, None, Fraction(1, 100))[1]
    assert not judge(times, exact=True)[1]
    rounded = [Fraction(round(1000 * n * 1001 / 24000), 1000) for n in range(200)]
    assert judge(rounded, exact=True) == (Fraction(24000, 1001), True)


def test_a_single_frame_has_some_rate() -> None:
    assert judge([Fraction(0)]) == (Fraction(25), True)


def test_short_files_in_milliseconds_take_the_declared_rate() -> None:
    times = [Fraction(round(1000 * n * 1001 / 24000), 1000) for n in range(8)]
    assert judge(times, Fraction(24000, 1001), Fraction(1, 1000)) == (Fraction(24000, 1001), True)
    assert judge(times, Fraction(50), Fraction(1, 1000))[0] != 50


def test_the_usual_duration_is_not_one_of_its_rounded_values() -> None:
    """Milliseconds at 24000/1001 are 41 or 42: the rate is neither 24.39 nor 23.81."""
    times = [Fraction(round(1000 * n * 1001 / 24000), 1000) for n in range(240) if n % 24 not in (20, 21, 22)]
    assert judge(times) == (Fraction(24000, 1001), False)
    assert abs(usual_duration(times) - Fraction(1001, 24000)) < Fraction(1, 20000)


def test_a_file_cut_off_between_reordered_frames_is_constant() -> None:
    cut = [Fraction(n, 24) for n in [*range(46), 49]]
    assert judge(cut, reordered=3) == (Fraction(24), True)
    assert judge(cut, reordered=2) == (Fraction(24), False)
    assert judge([*cut[:-1], Fraction(973, 480)], reordered=3) == (Fraction(24), False)
    assert judge(cut) == (Fraction(24), False)
    assert judge([Fraction(n, 24) for n in [*range(20), *range(23, 60)]], reordered=3) == (Fraction(24), False)


def test_without_presentation_times_frames_come_at_decoding_times_and_the_decoders_delay() -> None:
    assert presentation_times([None] * 4, [0, 1, 2, 3], 2, Fraction(1)) == [2, 3, 4, 5]
    assert presentation_times([None, None, 2, None], [0, 1, 2, 3], 1, Fraction(1)) == [1, 2, 3, 4]


def test_without_any_times_frames_follow_each_other_at_the_rate() -> None:
    assert presentation_times([None] * 3, [None] * 3, None, Fraction(50)) == [0, 50, 100]


def test_packets_that_lost_their_time_come_last() -> None:
    assert presentation_times([0, 20, 10, None], [None, 0, None, None], 0, Fraction(10)) == [0, 10, 20, 30]


def test_packets_without_a_time_before_zero_come_first() -> None:
    """Matroska: three of five frames have times below zero; one with a time is stored between them."""
    times = presentation_times([None, 0, None, None, 10], [None, 0, None, None, 5], None, Fraction(10))
    assert times == [-30, -20, -10, 0, 10]


def test_times_that_jump_are_noticed() -> None:
    base = Fraction(1, 10)
    assert not discontinuity([None, 0, 0, 5, 3, 1000], base, allowed=False)
    assert discontinuity([0, 5, 1005], base, allowed=True) == "jump from 0.50 s to 100.50 s at frame 2"
    assert not discontinuity([0, 5, 1005], base, allowed=False)
    assert discontinuity([0, 40000], base, allowed=False)
    assert discontinuity([0, 50, None, 10], base, allowed=False) == "jump from 5.00 s to 1.00 s at frame 3"


def test_frames_without_data_are_repeated_where_time_is_counted_in_frames() -> None:
    rate, tick = Fraction(24000, 1001), Fraction(1001, 24000)
    at = [index * tick for index in range(40) if index not in (1, 7, 8)]
    assert held_frames(at, rate, tick) == (0, 5, 5)
    assert held_frames(at, rate, Fraction(1, 1000)) == ()  # a container with times of its own
    assert held_frames(at[:20:2], rate, tick) == ()  # so many that the rate is another


@pytest.mark.parametrize("rate", [24, 25, 30, 15, 12, 48, 50])
@pytest.mark.parametrize("frames", [4, 7, 48, 500])
def test_centiseconds_of_a_gif_are_the_standard_rate_they_round(rate: int, frames: int) -> None:
    times = [Fraction(round(Fraction(100 * n, rate)), 100) for n in range(frames)]
    delays = {later - earlier for earlier, later in pairwise(times)}
    found, constant = judge(times, Fraction(143, 6), Fraction(1, 100))
    assert constant
    assert found == rate or (len(delays) == 1 and found == 1 / delays.pop())


def test_equal_delays_of_a_gif_are_meant() -> None:
    assert judge([Fraction(3 * n, 100) for n in range(40)], Fraction(100, 3), Fraction(1, 100)) == (
        Fraction(100, 3),
        True,
    )
    assert judge([Fraction(n, 100) for n in (*range(0, 40, 4), *range(60, 100, 4))], None, Fraction(1, 100))[1] is False
