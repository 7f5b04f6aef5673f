"""Cuts, duplicates, times near a source frame, held drawings, scene marks."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsvfi.options import DuplicateMode
from vsvfi.plan.policy import LONGEST_HOLD, Facts, Policy, reach, scene_marks
from vsvfi.plan.timeline import Copy, CrossFade, Decision, Interpolate, Timeline


def facts(cuts: set[int] = frozenset(), duplicates: set[int] = frozenset()) -> Callable[[int], Facts]:  # type: ignore[assignment]
    return lambda k: Facts(k in cuts, k in duplicates)


def decided(policy: Policy, timeline: Timeline, at: Callable[[int], Facts]) -> list[Decision]:
    return [policy.decide(timeline, n, at) for n in range(timeline.length)]


TWICE = Timeline(Fraction(2), 6, Fraction(24))


def test_a_cut_holds_the_frame_before_it() -> None:
    steps = decided(Policy(), TWICE, facts(cuts={2}))
    assert steps[5] == Copy(2)
    assert steps[3] == Interpolate(1, 2, Fraction(1, 2))
    assert decided(Policy(at_cuts=None), TWICE, facts(cuts={2}))[5] == Interpolate(2, 3, Fraction(1, 2))


def test_duplicates_are_copied_or_not() -> None:
    assert decided(Policy(), TWICE, facts(duplicates={2}))[5] == Copy(2)
    assert decided(Policy(duplicates="off"), TWICE, facts(duplicates={2}))[5] == Interpolate(2, 3, Fraction(1, 2))


def test_times_next_to_a_source_frame_show_it() -> None:
    timeline = Timeline(Fraction(1000, 1001), 2000, Fraction(24))
    steps = decided(Policy(), timeline, facts())
    assert steps[1] == Copy(1)
    assert steps[999] == Copy(1000)
    assert isinstance(steps[500], Interpolate)


def test_models_that_bisect_get_times_on_the_grid() -> None:
    steps = decided(Policy(bisects=True), Timeline(Fraction(3), 2, None), facts())
    assert steps[1] == Interpolate(0, 1, Fraction(5, 16))
    assert steps[2] == Interpolate(0, 1, Fraction(11, 16))
    assert decided(Policy(bisects=True), Timeline(Fraction(40), 2, None), facts())[1] == Copy(0)


def test_drawings_on_twos_become_even_motion() -> None:
    steps = decided(Policy(duplicates="retime"), TWICE, facts(duplicates={0, 2, 4}))
    quarter = Fraction(1, 4)
    assert steps[:9] == [
        Copy(0),
        *(Interpolate(0, 2, k * quarter) for k in (1, 2, 3)),
        Copy(2),
        *(Interpolate(2, 4, k * quarter) for k in (1, 2, 3)),
        Copy(4),
    ]
    assert steps[9:] == [Copy(4), Copy(5), Copy(5)]  # the last drawing has nowhere to go


def test_retiming_never_crosses_a_cut() -> None:
    steps = decided(Policy(duplicates="retime"), TWICE, facts(cuts={3}, duplicates={2, 4}))
    assert steps[4:8] == [Copy(2), Copy(2), Copy(3), Copy(3)]


def test_still_images_stay_still() -> None:
    length = 2 * LONGEST_HOLD + 4
    steps = decided(
        Policy(duplicates="retime"), Timeline(Fraction(2), length, None), facts(duplicates=set(range(length - 2)))
    )
    moving = [step for step in steps if isinstance(step, Interpolate)]
    assert moving == [Interpolate(length - 2, length - 1, Fraction(1, 2))]


@given(
    st.integers(1, 2 * LONGEST_HOLD + 2),
    st.integers(0, 5),
    st.sampled_from([Fraction(2), Fraction(5, 2), Fraction(1), Fraction(3, 2)]),
)
def test_retiming_looks_only_as_far_as_it_says(hold: int, lead: int, factor: Fraction) -> None:
    """Decisions are the same when facts outside the window are unknown, and motion never goes back."""
    timeline = Timeline(factor, lead + 3 * hold + 3, None)
    duplicates = {k for k in range(timeline.source_length - 1) if k >= lead and (k - lead + 1) % hold != 0}
    policy = Policy(duplicates="retime")
    before, after = reach(timeline, policy)
    shown = Fraction(-1)
    for n in range(timeline.length):
        index = timeline.source_index(n)

        def at(k: int, index: int = index) -> Facts:
            assert index - before <= k <= index + after
            return Facts(duplicate=k in duplicates)

        step = policy.decide(timeline, n, at)
        place = Fraction(step.frame) if isinstance(step, Copy) else step.first + step.t * (step.second - step.first)
        assert place >= shown
        shown = place


@pytest.mark.parametrize("factor", [Fraction(2), Fraction(5, 2), Fraction(2, 5), Fraction(1)])
def test_one_first_and_one_last_frame_per_scene(factor: Fraction) -> None:
    timeline = Timeline(factor, 40, None)
    cuts = {9, 19, 22}
    marks = [scene_marks(timeline, Policy(), n, facts(cuts=cuts)) for n in range(timeline.length)]
    assert sum(first for first, _ in marks) == sum(last for _, last in marks) == len(cuts)
    for n in range(timeline.length - 1):
        assert marks[n][1] == marks[n + 1][0]
        crossed = any(timeline.source_index(n) <= cut < timeline.source_index(n + 1) for cut in cuts)
        assert marks[n][1] == crossed


def test_between_the_frames_around_a_cut() -> None:
    timeline, at = Timeline(Fraction(4), 3, None), facts(cuts={0})
    assert decided(Policy(at_cuts="nearest"), timeline, at)[:5] == [Copy(0), Copy(0), Copy(0), Copy(1), Copy(1)]
    faded = [CrossFade(0, 1, Fraction(k, 4)) for k in (1, 2, 3)]
    assert decided(Policy(at_cuts="blend"), timeline, at)[:5] == [Copy(0), *faded, Copy(1)]
    marks = [scene_marks(timeline, Policy(at_cuts="nearest"), n, at) for n in range(5)]
    assert marks == [(False, False), (False, False), (False, True), (True, False), (False, False)]


def test_a_held_drawing_before_a_cut_fades_in_its_last_step_only() -> None:
    steps = decided(Policy(duplicates="retime", at_cuts="blend"), TWICE, facts(cuts={3}, duplicates={2, 4}))
    assert steps[4:8] == [Copy(2), Copy(2), Copy(3), CrossFade(3, 4, Fraction(1, 2))]


@pytest.mark.parametrize("duplicates", ["skip", "retime"])
def test_excluded_frames_are_only_repeated(duplicates: DuplicateMode) -> None:
    policy = Policy(duplicates=duplicates, at_cuts="blend", excluded=((1, 2), (4, 4)))
    steps = decided(policy, TWICE, facts(cuts={1}))
    half = Fraction(1, 2)
    assert [step for n, step in enumerate(steps) if n % 2] == [
        Interpolate(0, 1, half), Copy(1), Copy(2), Interpolate(3, 4, half), Copy(4), Copy(5),
    ]  # fmt: skip
    assert steps[::2] == [Copy(k) for k in range(6)]


def test_no_drawing_is_retimed_into_or_out_of_an_excluded_range() -> None:
    policy = Policy(duplicates="retime", excluded=((2, 3),))
    steps = decided(policy, TWICE, facts(duplicates={1, 3}))  # drawings 0, 1-2, 3-4, 5
    assert all(step.first == step.second - 1 for step in steps if isinstance(step, Interpolate))
    assert steps[4:8] == [Copy(2), Copy(2), Copy(3), Copy(3)]


def test_longer_holds_are_retimed_on_request() -> None:
    timeline, at = Timeline(Fraction(1), 8, None), facts(duplicates={0, 1, 2, 3, 4})  # a drawing held for six frames
    assert decided(Policy(duplicates="retime"), timeline, at)[:6] == [Copy(k) for k in range(6)]
    moved = decided(Policy(duplicates="retime", longest_hold=6), timeline, at)[:6]
    assert moved == [Copy(0), *(Interpolate(0, 6, Fraction(k, 6)) for k in range(1, 6))]


def test_the_cleanest_copy_stands_for_a_drawing() -> None:
    drawings = [0, 0, 0, 1, 1, 2, 3, 3]
    blocks = [0.5, 0.2, 0.3, 0.4, 0.1, 0.9, 0.2, 0.2]

    def at(k: int) -> Facts:
        same = 0 <= k < len(drawings) - 1 and drawings[k] == drawings[k + 1]
        return Facts(duplicate=same, blockiness=blocks[k])

    steps = decided(Policy(duplicates="retime"), Timeline(Fraction(1), 8, None), at)
    third, half = Fraction(1, 3), Fraction(1, 2)
    assert steps[:6] == [
        Copy(1), Interpolate(1, 4, third), Interpolate(1, 4, 2 * third), Copy(4), Interpolate(4, 5, half), Copy(5),
    ]  # fmt: skip


def test_drawings_on_ones_keep_their_pace_among_held_ones() -> None:
    """On ones, twos and threes: each drawing appears when it does in the source."""
    duplicates = {1, 4, 5}  # 0, 1-2, 3, 4-6, 7, 8
    steps = decided(Policy(duplicates="retime"), Timeline(Fraction(1), 9, None), facts(duplicates=duplicates))
    begins = [0, 1, 3, 4, 7, 8]
    assert [steps[n] for n in begins] == [Copy(n) for n in begins]
    assert steps[2] == Interpolate(1, 3, Fraction(1, 2))
