"""Read frame properties that may be of any type, as VapourSynth's own filters read them.

A script or source filter may set a property to a number, data, a frame, or a list of them. Filters take the first
entry of an integer property and ignore other types; so do these functions, which never raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import isfinite
from typing import overload

LARGEST_INTEGER = 2**63 - 1
"""The largest integer that a property can hold."""


@overload
def read_integer(props: Mapping[str, object], name: str) -> int | None: ...
@overload
def read_integer(props: Mapping[str, object], name: str, default: int) -> int: ...
def read_integer(props: Mapping[str, object], name: str, default: int | None = None) -> int | None:
    """An integer property, or `default` where it is absent or of another type."""
    value = _first(props, name)
    return int(value) if isinstance(value, int) else default


def read_numbers(props: Mapping[str, object], name: str) -> list[float]:
    """Every entry of an integer or floating-point property; empty where it is absent, of another type or not finite."""
    value = props.get(name)
    entries = value if isinstance(value, list) else [value]
    numbers = [float(entry) for entry in entries if isinstance(entry, int | float)]
    return numbers if len(numbers) == len(entries) and all(map(isfinite, numbers)) else []


def read_duration(props: Mapping[str, object]) -> Fraction | None:
    """`_DurationNum` / `_DurationDen` in seconds, or None where they are absent or not a fraction. May be negative."""
    numerator, denominator = read_integer(props, "_DurationNum", 0), read_integer(props, "_DurationDen", 0)
    return Fraction(numerator, denominator) if denominator > 0 else None


def storable(duration: Fraction) -> Fraction:
    """The duration itself, or the nearest one whose numerator and denominator fit a property."""
    if max(abs(duration.numerator), duration.denominator) <= LARGEST_INTEGER:
        return duration
    if abs(duration) <= 1:
        return duration.limit_denominator(LARGEST_INTEGER)
    inverse = (1 / duration).limit_denominator(LARGEST_INTEGER)
    return 1 / inverse if inverse else Fraction(LARGEST_INTEGER if duration > 0 else -LARGEST_INTEGER)


def _first(props: Mapping[str, object], name: str) -> object:
    value = props.get(name)
    return value[0] if isinstance(value, list) and value else value
