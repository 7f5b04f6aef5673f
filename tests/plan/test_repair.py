"""Dropped frames: where they are found, what is shown instead, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsvfi.plan.policy import Facts, Policy, reach
from vsvfi.plan.repair import LONGEST_FAULT
from vsvfi.plan.timed import timed
from vsvfi.plan.timeline import Copy, Decision, Interpolate, Timeline

ONES = [float(n) for n in range(24)]


def known(moments: Sequence[float]) -> Callable[[int], Facts]:
    """The facts of a clip whose frames show something at these places."""

    def at(k: int) -> Facts:
        if not 0 <= k < len(moments) - 1:
            return Facts()
        later = moments[k + 1 : k + 1 + LONGEST_FAULT]
        return Facts(
            duplicate=moments[k] == moments[k + 1], apart=tuple((moment - moments[k]) ** 2 for moment in later)
        )

    return at


def repaired(moments: Sequence[float], factor: int = 1, policy: Policy | None = None) -> dict[int, Decision]:
    """The output frames that are not the source frame at their position, nor between two neighbours."""
    timeline, policy = Timeline(Fraction(factor), len(moments), Fraction(24)), policy or Policy(duplicates="repair")
    decisions = {n: policy.decide(timeline, n, known(moments)) for n in range(timeline.length)}
    usual = {n: timeline.step(n) for n in decisions}
    return {n: decision for n, decision in decisions.items() if decision != usual[n]}


def shown(changes: dict[int, float]) -> list[float]:
    return [changes.get(n, moment) for n, moment in enumerate(ONES)]


def between(first: int, second: int, count: int = 2, part: int = 1) -> Interpolate:
    return Interpolate(first, second, Fraction(part, count))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({10: 9}, {10: between(9, 11)}),  # the frame before is repeated, then comes a jump
        ({10: 11}, {10: between(9, 11)}),  # a jump, and the frame after it is repeated
        ({10: 9, 11: 9}, {10: between(9, 12, 3), 11: between(9, 12, 3, 2)}),
        ({10: 12, 11: 12}, {10: between(9, 12, 3), 11: between(9, 12, 3, 2)}),
        ({6: 5, 14: 13}, {6: between(5, 7), 14: between(13, 15)}),
    ],
)
def test_repeats_beside_a_jump_are_filled(changes: dict[int, float], expected: dict[int, Decision]) -> None:
    assert repaired(shown(changes)) == expected


@pytest.mark.parametrize(
    "moments",
    [
        ONES,
        [n // 2 * 2.0 for n in range(24)],
        [n // 3 * 3.0 for n in range(24)],
        [1.1**n for n in range(24)],
        [float(n - (n >= 10)) for n in range(24)],  # a frame inserted: no motion is missing
        [float(n - n // 5) for n in range(24)],
        [float(n + (n >= 10)) for n in range(24)],  # a frame dropped, but no frame in its place
        [float((n - 11.5) ** 2) for n in range(24)],  # two equal frames where motion turns
        [0.0] * 12 + ONES[:12],  # motion begins
        [float(n // 2 * 2 if n < 12 else n) for n in range(24)],  # from twos to ones
    ],
    ids=["ones", "twos", "threes", "faster", "inserted", "fives", "dropped", "turning", "beginning", "from twos"],
)
def test_motion_as_it_is_meant_is_left_alone(moments: list[float]) -> None:
    assert repaired(moments) == {}


@pytest.mark.parametrize(("noise", "expected"), [(0.5, {10: between(9, 11)}), (1.5, {})])
def test_nothing_is_repaired_where_repeats_differ_as_much_as_motion(
    noise: float, expected: dict[int, Decision]
) -> None:
    """As in the encodes of a low bitrate."""

    def at(k: int) -> Facts:
        facts = known(shown({10: 9}))(k)
        return replace(facts, apart=tuple(apart + noise for apart in facts.apart))

    policy, timeline = Policy(duplicates="repair"), Timeline(Fraction(1), len(ONES), Fraction(24))
    found = {n: policy.decide(timeline, n, at) for n in range(len(ONES))}
    assert {n: decision for n, decision in found.items() if decision != Copy(n)} == expected


def test_a_held_drawing_that_passes_for_motion_is_no_usual_step() -> None:
    """As in drawings on ones, twos and threes whose encode changes a held one by a little."""
    moments = [*ONES[:13], 12.0, 12.0, 15.0, 15.15, *(float(n) for n in range(17, 25))]
    assert repaired(moments) == {}


def test_faults_in_accelerated_motion_are_found() -> None:
    moments = [1.08**n for n in range(24)]
    moments[10] = moments[9]
    assert repaired(moments) == {10: between(9, 11)}


def test_nothing_is_repaired_beside_cuts_in_excluded_ranges_and_above_the_longest_hold() -> None:
    moments = shown({10: 9, 11: 9})
    timeline = Timeline(Fraction(1), 24, None)

    def with_cut(k: int) -> Facts:
        fact = known(moments)(k)
        return Facts(cut=True, apart=fact.apart) if k == 13 else fact

    policy = Policy(duplicates="repair")
    assert [policy.decide(timeline, n, with_cut) for n in range(24)] == [Copy(n) for n in range(24)]
    assert repaired(moments, policy=Policy(duplicates="repair", excluded=((8, 8),))) == {}
    assert repaired(moments, policy=Policy(duplicates="repair", longest_hold=2)) == {}


def test_a_higher_rate_is_repaired_too() -> None:
    changed = repaired(shown({10: 9}), factor=2)
    assert changed == {19: between(9, 11, 4), 20: between(9, 11), 21: between(9, 11, 4, 3)}


@given(st.lists(st.sampled_from([0.0, 1.0, 1.0, 1.0, 2.0, 3.0]), min_size=4, max_size=40))
def test_decisions_look_only_as_far_as_they_say(steps: list[float]) -> None:
    moments = [0.0]
    for step in steps:
        moments.append(moments[-1] + step)
    timeline, policy = Timeline(Fraction(2), len(moments), None), Policy(duplicates="repair")
    before, after = reach(timeline, policy)
    for n in range(timeline.length):
        index = timeline.source_index(n)

        def at(k: int, index: int = index) -> Facts:
            assert index - before <= k <= index + after
            return known(moments)(k)

        decision = policy.decide(timeline, n, at)
        low, high = policy.shown_range
        ends = (decision.frame,) if isinstance(decision, Copy) else (decision.first, decision.second)
        assert all(index - low <= frame <= index + high for frame in ends)


def test_a_frame_that_is_missing_by_its_time_is_filled_and_uneven_times_are_not() -> None:
    """Frame 5 lasts two usual durations; the others a millisecond more or less."""
    times, now = [Fraction(0)], Fraction(0)
    for k in range(10):
        now += Fraction(2 if k == 5 else 1, 25) + Fraction((-1) ** k, 1000)
        times.append(now)
    timeline = timed(times, 10, Fraction(25))
    policy = Policy(duplicates="repair")
    decisions = [policy.decide(timeline, n, known(ONES[:10])) for n in range(timeline.length)]
    made = [n for n, decision in enumerate(decisions) if isinstance(decision, Interpolate)]
    assert made == [6]
    assert [decision for n, decision in enumerate(decisions) if n != 6] == [Copy(k) for k in range(10)]
