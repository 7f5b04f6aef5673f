"""Reach any dyadic timestep by bisection, for models that only support t = 1/2.

Positions are exact fractions of the way from the first frame (0) to the second (1).
"""

from __future__ import annotations

from fractions import Fraction
from math import floor

MAX_DEPTH = 4
"""Levels of bisection at most: positions on a grid of 1/16, so at most 1/32 of a frame off the exact time."""


def nearest(t: Fraction, depth: int = MAX_DEPTH) -> Fraction:
    """Round t to the nearest multiple of 2^-depth, ties up; the result may be 0 or 1, a source frame."""
    return Fraction(floor(t * 2**depth + Fraction(1, 2)), 2**depth)


def complete_levels(factor: Fraction, depth: int = MAX_DEPTH) -> int:
    """Count the bisection levels whose midpoints are all output frames.

    3 for a factor of 8; 0 unless the factor is a power of two.
    """
    if factor.denominator != 1 or factor.numerator & (factor.numerator - 1):
        return 0
    return min(factor.numerator.bit_length() - 1, depth)


def bisection_path(t: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Return the bisections that lead to a dyadic t in (0, 1), as pairs of positions.

    The ends of each pair are 0, 1 or earlier midpoints, and the last midpoint is t. bisection_path(3/8) is [(0, 1),
    (0, 1/2), (1/4, 1/2)].

    Raises:
        ValueError: t is not of the form k / 2^n inside (0, 1), so bisection never reaches it.
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
