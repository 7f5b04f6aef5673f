"""Recognise standard frame rates in rounded form, and check that a clip can store a rate."""

from __future__ import annotations

from fractions import Fraction

from vsvfi.errors import ArgumentError

STANDARD_RATES = tuple(
    sorted(
        [Fraction(rate) for rate in (12, 15, 24, 25, 30, 48, 50, 60, 72, 90, 96, 100, 120, 144, 180, 200, 240)]
        + [Fraction(rate * 1000, 1001) for rate in (12, 15, 24, 30, 48, 60, 72, 90, 96, 120, 180, 240)]
    )
)

_MICROSECOND = Fraction(1, 1_000_000)
_LARGEST_SIMPLE = 2**31 - 1
_LARGEST_STORED = 2**63 - 1


def nominal_rate(rate: Fraction) -> Fraction:
    """The standard rate that `rate` approximates, or `rate` itself.

    Containers store a frame's duration in whole microseconds (AVI: 10000000/417083 is 24000/1001), others the rate with
    three decimals (2997/125). A rate is a standard rate in another form where the frame durations are within half a
    microsecond of each other.
    """
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(1 / nearest - 1 / rate) <= _MICROSECOND / 2 else rate


def source_rate_for(target: Fraction, rate: Fraction) -> Fraction:
    """Choose the source rate, `rate` or the standard rate that it stands for, with the simpler ratio to `target`."""
    return min(rate, nominal_rate(rate), key=lambda counted: (target / counted).numerator)


def check_storable(argument: str, given: Fraction, rate: Fraction | None, factor: Fraction) -> None:
    """Refuse a ratio that frame properties and clips cannot store exactly.

    Only source rates with very many digits cause this.

    Raises:
        ArgumentError: the remedy names a simpler rate to assign to the clip first.
    """
    if rate is None:
        return
    target = rate * factor
    if max(factor.numerator, factor.denominator, target.numerator, target.denominator) <= _LARGEST_STORED:
        return
    simple = _simple(rate)
    raise ArgumentError(
        argument,
        str(given),
        f"the clip's rate of {rate} has too many digits for this ratio",
        f"give the clip a simpler rate first with clip.std.AssumeFPS(fpsnum={simple.numerator}, "
        f"fpsden={simple.denominator})",
    )


def _simple(rate: Fraction) -> Fraction:
    """The nearest rate whose numerator and denominator are small."""
    rate = max(min(nominal_rate(rate), Fraction(_LARGEST_SIMPLE)), Fraction(1, _LARGEST_SIMPLE))
    if rate >= 1:
        return rate.limit_denominator(max(1, min(1_000_000, _LARGEST_SIMPLE // -(-rate.numerator // rate.denominator))))
    return 1 / (1 / rate).limit_denominator(1000)
