"""Positions of their own for every output frame."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vsvfi.errors import ArgumentError
from vsvfi.plan.curve import LONGEST_STRIDE, CurveTimeline, curved
from vsvfi.plan.policy import Facts, Policy, reach, scene_marks
from vsvfi.plan.timeline import Copy, Interpolate


def along(*positions: object, length: int = 40) -> CurveTimeline:
    return curved(positions, length, Fraction(2), Fraction(60))


def test_frames_show_their_positions() -> None:
    timeline = along(0, "1/3", 0.5, 7, Fraction(5, 2), 39)
    assert [timeline.step(n) for n in range(timeline.length)] == [
        Copy(0), Interpolate(0, 1, Fraction(1, 3)), Interpolate(0, 1, Fraction(1, 2)), Copy(7),
        Interpolate(2, 3, Fraction(1, 2)), Copy(39),
    ]  # fmt: skip
    assert timeline.rate == 60
    assert timeline.duration(3) == Fraction(1, 60)
    assert timeline.stride == LONGEST_STRIDE


def test_a_function_is_asked_for_as_many_frames_as_multi_makes() -> None:
    timeline = curved(lambda n: 9 - Fraction(n, 3), 10, Fraction(5, 2), None)
    assert timeline.positions == tuple(9 - Fraction(n, 3) for n in range(25))
    assert timeline.duration(0) is None


def test_reversed_playback_holds_at_cuts_and_marks_them() -> None:
    timeline = along(*(Fraction(8 - n, 2) for n in range(9)))  # 4, 3.5, 3 ... 0
    facts = {2: Facts(cut=True)}
    policy = Policy()
    assert reach(timeline, policy) == (1, 1)
    steps = [policy.decide(timeline, n, lambda k: facts.get(k, Facts())) for n in range(9)]
    assert steps[1] == Interpolate(3, 4, Fraction(1, 2))
    assert steps[3] == Copy(2)  # between 3 and 2 there is a cut
    marks = [scene_marks(timeline, policy, n, lambda k: facts.get(k, Facts())) for n in range(9)]
    assert [n for n, (first, _) in enumerate(marks) if first] == [3]
    assert [n for n, (_, last) in enumerate(marks) if last] == [2]


def test_a_jump_is_a_scene_change() -> None:
    timeline = along(0, 1, 30, 31)
    marks = [scene_marks(timeline, Policy(), n, lambda k: Facts()) for n in range(4)]
    assert marks == [(False, False), (False, True), (True, False), (False, False)]


def broken(n: int) -> float:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("curve", "told"),
    [
        ((), "must have 1 to 10000000 output frames, not 0"),
        ((0, 9.5), r"lies beyond 9, the last frame of the clip \(output frame 1\)"),
        ((-1,), "is no position"),
        ((float("nan"),), "is no position"),
        ((float("inf"),), "is no position"),
        ((None,), "is no position"),
        (broken, "raised ZeroDivisionError for output frame 0"),
        (lambda n: n, "lies beyond 9"),
    ],
)
def test_curves_that_fail_are_refused(curve: object, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        curved(curve, 10, Fraction(2), None)
