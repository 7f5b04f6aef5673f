"""Exact time: counts, durations and positions, also over hours and over arbitrary rationals."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor, gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsvfi.plan.timeline import LARGEST_LENGTH, Copy, Interpolate, Timeline

factors = st.fractions(min_value=Fraction(1, 8), max_value=40, max_denominator=2000)
rates = st.one_of(st.none(), st.fractions(min_value=Fraction(1, 10), max_value=240, max_denominator=1001))


@given(factor=factors, length=st.integers(1, 400), rate=rates)
def test_frames_partition_the_source(factor: Fraction, length: int, rate: Fraction | None) -> None:
    timeline = Timeline(factor, length, rate)
    assert timeline.length == ceil(length * factor)
    covered = [Fraction(0)] * length
    for n in range(timeline.length):
        for index, share in timeline.shares(n):
            assert share > 0
            covered[index] += share
    assert covered == [1] * length
    if rate is not None:
        durations = [timeline.duration(n) for n in range(timeline.length)]
        assert sum(durations) == length / rate  # type: ignore[arg-type]
        assert all(duration == 1 / (rate * factor) for duration in durations[:-1])


@given(factor=factors, length=st.integers(1, 10**9), at=st.floats(0, 1))
def test_steps_lie_around_their_position(factor: Fraction, length: int, at: float) -> None:
    timeline = Timeline(factor, length, None)
    n = min(int(at * timeline.length), timeline.length - 1)
    step = timeline.step(n)
    if isinstance(step, Copy):
        assert step.frame == timeline.position(n) or step.frame == length - 1
    else:
        assert step == Interpolate(floor(n / factor), floor(n / factor) + 1, n / factor - floor(n / factor))
        assert 0 < step.t < 1
        assert step.second < length


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (Fraction(24000, 1001), Fraction(60)),
        (Fraction(24000, 1001), Fraction(60000, 1001)),
        (Fraction(25), Fraction(60)),
        (Fraction(30000, 1001), Fraction(120000, 1001)),
    ],
)
def test_an_hour_frame_by_frame(source: Fraction, target: Fraction) -> None:
    length = ceil(3600 * source)
    timeline = Timeline(target / source, length, source)
    factor = timeline.factor
    step_numerator, step_denominator = factor.denominator, factor.numerator
    assert timeline.length == -(-length * factor.numerator // factor.denominator)
    for n in range(timeline.length):
        index, remainder = divmod(n * step_numerator, step_denominator)  # plain integers, independent of Fraction
        step = timeline.step(n)
        if remainder == 0 or index == length - 1:
            assert step == Copy(index)
        else:
            assert isinstance(step, Interpolate)
            assert (step.first, step.second) == (index, index + 1)
            shared = gcd(remainder, step_denominator)
            assert (step.t.numerator, step.t.denominator) == (remainder // shared, step_denominator // shared)
    assert all(timeline.duration(n) == 1 / target for n in range(0, timeline.length - 1, 997))
    total = (timeline.length - 1) / target + (timeline.duration(timeline.length - 1) or 0)
    assert total == length / source


def test_the_last_frame_is_held() -> None:
    timeline = Timeline(Fraction(4), 3, Fraction(24))
    assert [timeline.step(n) for n in range(8, 12)] == [Copy(2)] * 4


def test_clips_as_long_as_can_be() -> None:
    timeline = Timeline(Fraction(2), LARGEST_LENGTH, Fraction(24))
    assert timeline.length == LARGEST_LENGTH
    assert timeline.truncated
    assert timeline.step(LARGEST_LENGTH - 1) == Copy((LARGEST_LENGTH - 1) // 2)
    assert not Timeline(Fraction(2), 1000, None).truncated


def test_variable_rate_splits_each_duration() -> None:
    timeline = Timeline(Fraction(5, 2), 2, None)
    assert timeline.duration(0) is None
    assert timeline.rate is None
    assert timeline.shares(2) == ((0, Fraction(1, 5)), (1, Fraction(1, 5)))
