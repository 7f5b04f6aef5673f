"""Reach other timesteps with a model that only knows t = 1/2: midpoints of midpoints.

Positions are exact fractions of the way from the first frame (0) to the second (1).
"""

from __future__ import annotations

from fractions import Fraction
from math import floor

MAX_DEPTH = 4
"""Levels of bisection at most: positions on a grid of 1/16, so at most 1/32 of a frame off the exact time."""


def nearest(t: Fraction, depth: int = MAX_DEPTH) -> Fraction:
    """The multiple of 2^-depth nearest to t; a time within half a step of 0 or 1 becomes 0 or 1, which is a source
    frame. Ties go up.
    """
    return Fraction(floor(t * 2**depth + Fraction(1, 2)), 2**depth)


def complete_levels(factor: Fraction, depth: int = MAX_DEPTH) -> int:
    """How many levels of bisection have all their midpoints among the output frames of a factor: 3 for 8, none where
    it is no power of two.
    """
    if factor.denominator != 1 or factor.numerator & (factor.numerator - 1):
        return 0
    return min(factor.numerator.bit_length() - 1, depth)


def bisection_path(t: Fraction) -> list[tuple[Fraction, Fraction]]:
    """The bisections that lead to a dyadic t in (0, 1): pairs of positions, each pair's ends known before it, the last
    midpoint being t.

    bisection_path(3/8) is [(0, 1), (0, 1/2), (1/4, 1/2)].

    Raises:
        ValueError: t is not of the form k / 2^n inside (0, 1): it would never be reached.
    """
    if not 0 < t < 1 or t.denominator & (t.denominator - 1):
        raise ValueError(f"bisection_path: t={t}, must be k/2^n inside (0, 1); round it with nearest() first")
    first, second = Fraction(0), Fraction(1)
    pairs = []
    while True:
        pairs.append((first, second))
        middle = (first + second) / 2
        if middle == t:
            return pairs
        first, second = (first, middle) if t < middle else (middle, second)
