"""Bisection reaches every dyadic timestep, and nothing else."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsvfi.plan.bisection import MAX_DEPTH, bisection_path, complete_levels, nearest


@given(depth=st.integers(1, 8), numerator=st.integers(1, 255))
def test_every_pair_is_known_before_it_is_used(depth: int, numerator: int) -> None:
    t = Fraction(numerator % (2**depth - 1) + 1, 2**depth)
    if not 0 < t < 1:
        return
    known = {Fraction(0), Fraction(1)}
    for first, second in bisection_path(t):
        assert first in known
        assert second in known
        assert first < second
        known.add((first + second) / 2)
    assert t in known
    assert len(bisection_path(t)) <= depth


@given(st.fractions(min_value=0, max_value=1, max_denominator=5000))
def test_nearest_is_near(t: Fraction) -> None:
    rounded = nearest(t)
    assert abs(rounded - t) <= Fraction(1, 2 ** (MAX_DEPTH + 1))
    assert (rounded * 2**MAX_DEPTH).denominator == 1


def test_example() -> None:
    assert bisection_path(Fraction(3, 8)) == [(0, 1), (0, Fraction(1, 2)), (Fraction(1, 4), Fraction(1, 2))]


@pytest.mark.parametrize("t", [Fraction(0), Fraction(1), Fraction(1, 3)])
def test_other_times_are_refused(t: Fraction) -> None:
    with pytest.raises(ValueError, match=r"must be k/2\^n"):
        bisection_path(t)


@pytest.mark.parametrize(
    ("factor", "levels"),
    [("1", 0), ("2", 1), ("4", 2), ("8", 3), ("16", 4), ("64", 4), ("3", 0), ("6", 0), ("5/2", 0), ("1/2", 0)],
)
def test_levels_of_which_every_midpoint_is_shown(factor: str, levels: int) -> None:
    assert complete_levels(Fraction(factor)) == levels
