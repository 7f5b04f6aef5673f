"""Convert untrusted values to plain text, integers and fractions, at a bounded cost.

An argument may be a subclass whose methods raise or return wrong results, a number of a million digits, or
"1e99999999". These functions return small values of exactly Python's built-in types, or None.
"""

from __future__ import annotations

import functools
import numbers
import operator
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import cast

from vsvfi.errors import ArgumentError, VsvfiError, type_name

_LONGEST_NUMBER = 100
_MOST_BITS = 512
_NUMBER = re.compile(r"[+-]?(?:[0-9]+/[0-9]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?)")


def checked[Parsed](argument: str) -> Callable[[Callable[[object], Parsed]], Callable[[object], Parsed]]:
    """Decorate a parser of `argument`: whatever a method of the value raises becomes an ArgumentError."""

    def decorate(parser: Callable[[object], Parsed]) -> Callable[[object], Parsed]:
        @functools.wraps(parser)
        def parse(value: object) -> Parsed:
            try:
                return parser(value)
            except VsvfiError:
                raise
            except Exception as error:
                raise ArgumentError(
                    argument, value, f"cannot be read ({type_name(error)})", "pass a plain value"
                ) from None

        return parse

    return decorate


def is_a(value: object, *kinds: type) -> bool:
    """Like `isinstance`, but ignores `__class__`, which may be a property that raises or is wrong."""
    return issubclass(type(value), kinds)


def plain_text(value: object) -> str | None:
    """Text, or None."""
    return str.__str__(value) if is_a(value, str) else None


def plain_integer(value: object) -> int | None:
    """An integer, including numpy's, but not a bool; else None."""
    if is_a(value, bool):
        return None
    if is_a(value, int):
        return int.__int__(value)  # type: ignore[arg-type]
    if not hasattr(type(value), "__index__"):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:  # numpy's arrays and bools have the method, and refuse
        return None


def plain(value: object) -> object:
    """Convert text and numbers to Python's built-in types; return anything else unchanged."""
    if is_a(value, float):
        return float.__float__(value)  # type: ignore[arg-type]
    text = plain_text(value)
    integer = plain_integer(value) if text is None else None
    return next((read for read in (text, integer) if read is not None), value)


def plain_items(value: object, most: int) -> list[object] | None:
    """The entries of a list or tuple, at most one more than `most`."""
    if is_a(value, list):
        return list.__getitem__(cast(list[object], value), slice(most + 1))
    return [*tuple.__getitem__(cast(tuple[object, ...], value), slice(most + 1))] if is_a(value, tuple) else None


def plain_number(value: object) -> float | Fraction | None:
    """A number, also written as text ("5/2", "2.5"): floats as float, others as an exact fraction; else None."""
    if is_a(value, str):
        return _written(str.__str__(value))
    integer = plain_integer(value)
    if integer is not None:
        return Fraction(integer) if integer.bit_length() <= _MOST_BITS else None
    if is_a(value, float):
        return float.__float__(value)  # type: ignore[arg-type]
    if is_a(value, Decimal):
        return _from_decimal(value)
    if is_a(value, numbers.Rational) and not is_a(value, bool):
        parts = [plain_integer(getattr(value, name)) for name in ("numerator", "denominator")]
        small = [part for part in parts if part is not None and part.bit_length() <= _MOST_BITS]
        return Fraction(*small) if len(small) == 2 and small[1] else None
    return float(value) if is_a(value, numbers.Real) and not is_a(value, bool) else None  # type: ignore[arg-type]


def _written(text: str) -> Fraction | None:
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text.strip()):
        return None
    try:
        return Fraction(text.strip())
    except ZeroDivisionError:
        return None


def _from_decimal(value: object) -> Fraction | None:
    _, digits, exponent = Decimal.as_tuple(value)  # type: ignore[arg-type]
    if not isinstance(exponent, int) or abs(exponent) > _LONGEST_NUMBER or len(digits) > _LONGEST_NUMBER:
        return None  # infinite, not a number, or too long
    return Fraction(Decimal(value))  # type: ignore[arg-type]
