"""Which places of a video are compared."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest

from vsvfi.compare.places import Place, choose, positions, run_from
from vsvfi.plan.policy import Facts


def steps(pattern: str) -> Callable[[int], Facts]:
    """One letter per step: "-" moves, "=" repeats, "|" cuts."""
    return lambda n: Facts(cut=pattern[n] == "|", duplicate=pattern[n] == "=")


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64])
def test_a_search_looks_everywhere_and_far_apart_first(count: int) -> None:
    order = list(positions(count))
    assert sorted(order) == list(range(count))
    if count == 64:
        assert order[:4] == [0, 32, 16, 48]


@pytest.mark.parametrize(
    ("pattern", "start", "run"),
    [
        ("--------", 2, (2, 3, 4, 5, 6)),
        ("--|-----", 0, None),
        ("--|-----", 3, (3, 4, 5, 6, 7)),
        ("-=-=-=-=-=-=", 1, (1, 3, 5, 7, 9)),  # drawings on twos: each counts once
        ("-=-=-=-=-=-=", 2, (3, 5, 7, 9, 11)),  # begins with a whole drawing
        ("-=-=--=-=-=-", 1, None),  # held unevenly: no drawing is in the middle
        ("----", 0, (0, 1, 2, 3, 4)),
        ("---", 0, None),
        ("=" * 30, 0, None),
    ],
)
def test_runs(pattern: str, start: int, run: tuple[int, ...] | None) -> None:
    assert run_from(start, len(pattern), steps(pattern)) == run


@pytest.mark.parametrize(
    ("pattern", "milliseconds", "run"),
    [
        ("------", (0, 42, 83, 125, 167, 209), (0, 1, 2, 3, 4)),  # 24 frames per second in milliseconds
        ("------", (0, 42, 83, 167, 209, 250), None),  # one is missing: its neighbours' midpoint is no frame
        ("------", (0, 100, 110, 210, 220, 320), None),  # equal distances only on average
        ("=-=-=-=-=-=", tuple(range(0, 1200, 100)), (0, 2, 4, 6, 8)),
        ("--------", (0, 9, 42, 83, 125, 167, 208, 250), None),
    ],
)
def test_runs_of_a_variable_rate_are_even_in_time(
    pattern: str, milliseconds: tuple[int, ...], run: tuple[int, ...] | None
) -> None:
    times = [Fraction(at, 1000) for at in milliseconds]
    assert run_from(0, len(times) - 1, steps(pattern), times) == run


def place(first: int, *, sharpness: float = 1.0, motion: float = 0.1, look: float = 0.0) -> Place:
    return Place(tuple(range(first, first + 5)), sharpness, motion, (look, look))


def test_sharp_and_moving_places_come_first() -> None:
    places = [place(0, sharpness=0.1), place(10), place(20, sharpness=3.0, motion=0.3), place(30, motion=0.0)]
    chosen = choose(places, 4)
    assert chosen[0] is places[2]
    assert places[3] not in chosen  # nothing moves there


def test_scenes_take_turns() -> None:
    alike = [place(10 * index, look=0.5) for index in range(8)]
    other = place(200, sharpness=0.8, look=0.9)
    assert other in choose([*alike, other], 2)


def test_no_frame_is_used_twice() -> None:
    assert [chosen.frames[0] for chosen in choose([place(0), place(2), place(4)], 3)] == [0]
    assert len(choose([place(0), place(5)], 3)) == 2


def test_a_still_video_is_compared_all_the_same() -> None:
    assert len(choose([place(0, motion=0.0), place(9, motion=0.0)], 2)) == 2
    assert choose([], 3) == []
