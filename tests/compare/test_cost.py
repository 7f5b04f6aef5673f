"""What a whole video costs."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vsvfi.compare.cost import hours, passes


@pytest.mark.parametrize(
    ("factor", "bisection", "expected"),
    [
        ("1", False, 0),
        ("2", False, 1),
        ("2", True, 1),
        ("4", True, 3),
        ("5/2", False, 2),  # five frames, one of them a source frame, for every two
        ("3", False, 2),
        ("3", True, 7),  # 5/16 and 11/16 by way of 1/2, 1/4, 3/4, 3/8, 5/8
    ],
)
def test_passes_per_source_frame(factor: str, bisection: bool, expected: int) -> None:
    assert passes(Fraction(factor), bisection=bisection) == expected


def test_a_ratio_of_many_digits_is_counted_in_part() -> None:
    assert float(passes(Fraction(1_000_003, 400_000), bisection=False)) == pytest.approx(2.5, abs=0.01)


def test_hours() -> None:
    assert hours(3600, Fraction(3), 1.5) == pytest.approx(3.0)
