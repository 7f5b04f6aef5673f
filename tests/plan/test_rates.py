"""Rates in another form, and rates that nothing can hold."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vsvfi.errors import ArgumentError
from vsvfi.plan.rates import STANDARD_RATES, check_storable, nominal_rate, source_rate_for


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ((10000000, 417083), (24000, 1001)),
        ((1000000, 41708), (24000, 1001)),
        ((2997, 125), (24000, 1001)),
        ((2997, 100), (30000, 1001)),
        ((19001, 317), (60000, 1001)),
        ((1000000, 33367), (30000, 1001)),
        ((25000001, 1000000), (25, 1)),
        ((24000, 1001), (24000, 1001)),
        ((24, 1), (24, 1)),
        ((2439, 100), (2439, 100)),
        ((2398, 100), (2398, 100)),
        ((17, 1), (17, 1)),
        ((1, 10**9), (1, 10**9)),
        ((10**9, 1), (10**9, 1)),
    ],
)
def test_standard_rates_in_another_form(written: tuple[int, int], meant: tuple[int, int]) -> None:
    assert nominal_rate(Fraction(*written)) == Fraction(*meant)


def test_every_standard_rate_in_microseconds_is_itself_and_no_other() -> None:
    for rate in STANDARD_RATES:
        assert nominal_rate(rate) == rate
        assert nominal_rate(Fraction(1_000_000, round(1_000_000 / rate))) == rate
        assert nominal_rate(Fraction(round(rate * 1_000_000), 1_000_000)) == rate


def test_a_rate_is_counted_so_that_the_ratio_is_simple() -> None:
    written = Fraction(10000000, 417083)
    assert source_rate_for(Fraction(60), written) == Fraction(24000, 1001)
    assert source_rate_for(Fraction(60000, 1001), written) == Fraction(24000, 1001)
    assert source_rate_for(written, written) == source_rate_for(written * 2, written) == written


@pytest.mark.parametrize(
    "rate", [Fraction(2**63 - 1, 2**58 + 1), Fraction(2**61 - 1, 2**62 + 7), Fraction(2**62 + 1, 10)]
)
def test_the_remedy_for_a_rate_of_too_many_digits_works(rate: Fraction) -> None:
    multi = Fraction(2**31 - 1, 2**31 - 3)
    with pytest.raises(
        ArgumentError, match=r"multi=.*has too many digits for this ratio; give the clip a simpler rate first"
    ) as caught:
        check_storable("multi", multi, rate, multi)
    numbers = str(caught.value).rpartition("AssumeFPS(")[2].rstrip(")").split(", ")
    simple = Fraction(*(int(number.partition("=")[2]) for number in numbers))
    assert abs(simple / rate - 1) < 1e-3 or rate > 10**6
    check_storable("multi", multi, simple, multi)
    check_storable("multi", multi, None, multi)
