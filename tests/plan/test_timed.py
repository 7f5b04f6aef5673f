"""A clip of variable rate: output frames follow the true times of the source."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsvfi.errors import ArgumentError
from vsvfi.plan.policy import Facts, Policy, reach, scene_marks
from vsvfi.plan.timed import timed
from vsvfi.plan.timeline import Copy, Interpolate

durations = st.lists(st.fractions(Fraction(1, 120), Fraction(1, 10), max_denominator=1000), min_size=2, max_size=60)


def at(*values: float) -> list[Fraction]:
    return [Fraction(str(value)) for value in values]


@given(gaps=durations, fps=st.fractions(20, 130, max_denominator=1001))
def test_every_frame_lies_between_its_neighbours_in_time(gaps: list[Fraction], fps: Fraction) -> None:
    times = [Fraction(7), *accumulate(gaps, initial=Fraction(7))][1:]
    try:
        clock = timed(times, len(gaps), fps)
    except ArgumentError:
        return
    begin = times[0]
    assert (clock.length - 1) / fps < times[-1] - begin <= clock.length / fps
    assert sum(clock.duration(n) or 0 for n in range(clock.length)) == times[-1] - begin
    for n in range(clock.length):
        now, index = begin + n / fps, clock.source_index(n)
        assert times[index] <= now < times[index + 1]
        step = clock.step(n)
        if isinstance(step, Interpolate):
            low, high = times[step.first], times[step.second]
            long = high - low > 4 * clock.usual
            assert long or low + step.t * (high - low) == now
        assert clock.on_source(n) == (now in times[:-1])
        if n:
            assert index - clock.source_index(n - 1) <= clock.stride


def test_uneven_times_move_evenly() -> None:
    clock = timed(at(0, 0.1, 0.3, 0.4), 3, Fraction(20))
    assert [clock.step(n) for n in range(clock.length)] == [
        Copy(0), Interpolate(0, 1, Fraction(1, 2)), Copy(1), Interpolate(1, 2, Fraction(1, 4)),
        Interpolate(1, 2, Fraction(1, 2)), Interpolate(1, 2, Fraction(3, 4)), Copy(2), Copy(2),
    ]  # fmt: skip
    assert (clock.rate, clock.truncated, clock.regular) == (20, False, False)


def test_a_long_still_moves_in_its_last_part_only() -> None:
    clock = timed(at(0, 0.1, 0.2, 1.2, 1.3, 1.4), 5, Fraction(20))
    shown = [clock.step(n) for n in range(4, 24)]
    assert shown[:19] == [Copy(2)] * 19
    assert shown[19] == Interpolate(2, 3, Fraction(1, 2))


def test_held_drawings_move_by_time() -> None:
    clock = timed(at(0, 0.1, 0.3, 0.4, 0.5), 4, Fraction(20))
    policy = Policy(duplicates="retime")
    decided = [policy.decide(clock, n, lambda k: Facts(duplicate=k in (0,))) for n in range(6)]
    assert decided == [Copy(0), *(Interpolate(0, 2, Fraction(n, 6)) for n in range(1, 6))]


def test_several_source_frames_in_one_output_frame_are_seen() -> None:
    clock = timed(at(0, 0.1, 0.11, 0.12, 0.13, 0.2, 0.3), 6, Fraction(10))
    assert clock.stride == 4
    assert reach(clock, Policy()) == (4, 4)
    assert scene_marks(clock, Policy(), 2, lambda k: Facts(cut=k == 2)) == (True, False)


@pytest.mark.parametrize(
    ("times", "length", "fps", "told"),
    [
        (at(0, 1, 2), 3, 60, "times='3 values', must be those of 3 frames in order"),
        (at(0, 2, 1, 3), 3, 60, "must be those of 3 frames in order"),
        (at(0, 0, 0, 0), 3, 60, "fps='60', does not match the timestamps"),
        (at(0, 1, 2, 3), 3, 90_000, "fps='90000', does not match the timestamps"),
        ([Fraction(n, 10_000) for n in range(200)] + at(5), 200, 24, "fps='24', does not match the timestamps"),
    ],
)
def test_what_cannot_be_placed_is_refused(times: list[Fraction], length: int, fps: int, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        timed(times, length, Fraction(fps))
