"""`shown`: any value as text for a message, even if its own methods fail."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import pytest

from vsvfi.errors import (
    ArgumentError,
    DownloadError,
    MissingWeightsError,
    UnknownModelError,
    VsvfiError,
    for_command,
    shown,
)


class Hostile:
    """Every method that printing or comparing might use raises."""

    def _raise(self, *arguments: object) -> bool:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __eq__ = __len__ = __iter__ = __bool__ = __hash__ = __fspath__ = _raise  # type: ignore[assignment]
    __class__ = property(_raise)  # type: ignore[assignment]


class HostileText(str):
    __repr__ = __str__ = __len__ = Hostile._raise  # type: ignore[assignment]


class Endless(list[int]):
    def __iter__(self):  # type: ignore[no-untyped-def]
        while True:
            yield 1

    def __repr__(self) -> str:
        return "x" * 10**9


CASES: list[tuple[object, str]] = [
    (None, "None"),
    (True, "True"),
    (12, "12"),
    (2.5, "2.5"),
    ("a'b\n", '"a\'b\\n"'),
    (b"ab", "b'ab'"),
    (Fraction(5, 2), "Fraction(5, 2)"),
    (Path("a/b"), "'a/b'"),
    ([1, "x"], "[1, 'x']"),
    ((1,), "(1,)"),
    ((), "()"),
    (set(), "set()"),
    ({"a": [1, {2: (3, [4])}]}, "{'a': [1, {2: (...)}]}"),
    (list(range(20)), "[0, 1, 2, 3, 4, 5, 6, 7, ...]"),
    (10**5000, "<an integer of 16610 bits>"),
    (Fraction(10**5000, 7), "Fraction(<an integer of 16610 bits>, 7)"),
    (Hostile(), "<Hostile>"),
    ([Hostile()], "[<Hostile>]"),
    (HostileText("abc"), "'abc'"),
    (Endless(), "<Endless>"),
    ("\udcff", "'\\udcff'"),
]


@pytest.mark.parametrize("index", range(len(CASES)))  # pytest itself would print the values
def test_values_are_shown(index: int) -> None:
    value, text = CASES[index]
    assert shown(value) == text
    assert str(ArgumentError("a", value, "rule", "remedy")) == f"a={text}, rule; remedy"


def test_huge_values_cost_nothing() -> None:
    nested: list[object] = []
    nested.append(nested)
    started = time.monotonic()
    for value in (
        "x" * 10**8,
        b"x" * 10**8,
        list(range(10**7)),
        dict.fromkeys(range(10**6)),
        nested,
        type("T" * 10**7, (), {})(),
    ):
        text = shown(value)
        assert len(text) <= 120
        text.encode()
    assert time.monotonic() - started < 20  # printing them would take minutes


def test_a_name_of_a_million_letters_is_an_unknown_model() -> None:
    assert len(str(UnknownModelError("ifrnet" * 10**6, ["ifrnet"]))) < 300
    assert "known models: ifrnet" in str(UnknownModelError(Hostile(), ["ifrnet"]))


_HERE = "its weights are not on this machine and downloads are off"


@pytest.mark.parametrize(
    ("error", "options", "advice"),
    [
        (
            MissingWeightsError("ifrnet", "downloads are off"),
            {},
            f"model='ifrnet', {_HERE}; run 'vsvfi models fetch ifrnet' with network access, pass a file with "
            "--weights, or use --model builtin, which needs no download",
        ),
        (
            MissingWeightsError("ifrnet", "downloads are off"),
            {"weights": "", "model": ""},
            f"model='ifrnet', {_HERE}; run 'vsvfi models fetch ifrnet' with network access",
        ),
        (
            MissingWeightsError("ifrnet", "downloads are off"),
            {"weights": ""},
            f"model='ifrnet', {_HERE}; run 'vsvfi models fetch ifrnet' with network access, or use --model builtin, "
            "which needs no download",
        ),
        (
            MissingWeightsError("PWC-Net", "downloads are off", listed=False),
            {"weights": "--pwcnet"},
            f"PWC-Net: {_HERE}; allow downloads, or pass a file with --pwcnet",
        ),
        (
            DownloadError("gimm", [("hub", "gone")], listed=False),
            {},
            "gimm: the weights could not be downloaded (hub: gone); try again later, or download the file yourself and "
            "pass it with --weights",
        ),
        (
            DownloadError("rife", [("hub", "gone")]),
            {"weights": ""},
            "model='rife', the weights could not be downloaded (hub: gone); try again later",
        ),
    ],
)
def test_advice_names_the_options_of_a_command(error: VsvfiError, options: dict[str, str], advice: str) -> None:
    assert for_command(str(error), **options) == advice
