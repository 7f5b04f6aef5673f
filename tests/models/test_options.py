"""Options of families follow the same rule in errors, README, `vsvfi models options` and the TypedDict."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest

import vsvfi.models
from vsvfi.cli import main
from vsvfi.models.family import Family
from vsvfi.models.registry import families, find
from vsvfi.options.validators import Choice, Flag, Number, Option, Whole, table

WITH_OPTIONS = [family for family in families() if family.options]
of_families = pytest.mark.parametrize("family", WITH_OPTIONS, ids=lambda family: family.name)

GIVEN: dict[str, Any] = {"default": None, "description": "what it does"}
CASES: list[tuple[Option, list[tuple[object, object]], list[object], str, object]] = [
    (Whole(1, 9, **GIVEN), [(1, 1), (9, 9)], [0, 10, True, 1.0, "1", None], "a whole number from 1 to 9", int),
    (
        Whole(0, 8, unit="MiB", words={"most": 8}, none="the rule", **GIVEN),
        [(0, 0), ("most", 8), (None, None)],
        ["least", -1, False],
        "a whole number of MiB from 0 to 8, or 'most' for 8, or None for the rule",
        int | Literal["most"] | None,
    ),
    (Number(0, 1, **GIVEN), [(0, 0.0), (0.5, 0.5)], [-0.1, True, "0", float("nan")], "a number from 0 to 1", float),
    (Flag(**GIVEN), [(True, True), (False, False)], [0, 1, "True", None], "True or False", bool),
    (Choice(1, 2, "x", **GIVEN), [(2, 2), ("x", "x")], [True, 1.0, "y", []], "1, 2 or 'x'", Literal[1, 2, "x"]),
]


@pytest.mark.parametrize(("option", "taken", "refused", "rule", "hint"), CASES, ids=lambda case: type(case).__name__)
def test_values_are_read_by_the_rule_that_the_error_states(
    option: Option, taken: list[tuple[object, object]], refused: list[object], rule: str, hint: object
) -> None:
    for given, used in taken:
        read = option.read(given)
        assert (read, type(read)) == (used, type(used))
    for value in refused:
        with pytest.raises(ValueError, match="must be ") as caught:
            option.read(value)
        assert str(caught.value) == f"must be {rule}"
    assert option.hint == hint


@of_families
def test_defaults_are_values_too(family: Family) -> None:
    for option in family.options.values():
        assert option.read(option.default) == option.default


@of_families
def test_type_checkers_know_the_same_options(family: Family) -> None:
    assert family.options_type is not None
    assert get_type_hints(family.options_type) == {name: option.hint for name, option in family.options.items()}


@of_families
def test_the_readme_says_the_same(family: Family) -> None:
    text = (Path(vsvfi.models.__path__[0]) / family.name / "README.md").read_text(encoding="utf-8")
    assert table(family.options) in text, f"the README of {family.name} must hold:\n{table(family.options)}"


def test_the_command_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "options", "builtin", "ifrnet"]) == 0
    shown = capsys.readouterr().out
    for name, option in find("builtin")[0].options.items():
        (line,) = (line for line in shown.splitlines() if line.split()[:2] == ["builtin", name])
        assert option.rule in line
        assert option.description in line
        assert f"default {option.default!r}" in line
    assert "ifrnet takes no options" in shown
