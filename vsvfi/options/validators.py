"""Rules for the entries of `options=`, used for validation, error messages, help and documentation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Union


@dataclass(frozen=True, kw_only=True)
class Option(ABC):
    """One option of a model family.

    Attributes:
        default: used if the option is omitted.
        description: what it does, as part of a sentence.
        none: the meaning of None, if None is allowed.
    """

    default: object
    description: str
    none: str = ""

    def read(self, value: object) -> object:
        """Validate a value and return the one to use.

        Raises:
            ValueError: with the rule that the value violates.
        """
        if value is None and self.none:
            return None
        try:
            return self._read(value)
        except ValueError:
            raise ValueError(f"must be {self.rule}") from None

    @property
    def rule(self) -> str:
        """What the value must be: "a whole number from 1 to 9, or None for the rule"."""
        return f"{self._rule}, or None for {self.none}" if self.none else self._rule

    @property
    def hint(self) -> object:
        """The type of the values, as an annotation."""
        return Union[self._hint, None] if self.none else self._hint  # noqa: UP007 - built from values

    @abstractmethod
    def _read(self, value: object) -> object: ...

    @property
    @abstractmethod
    def _rule(self) -> str: ...

    @property
    @abstractmethod
    def _hint(self) -> Any: ...


@dataclass(frozen=True)
class Whole(Option):
    """A whole number from `lowest` to `highest`, of `unit`; `words` stand for numbers."""

    lowest: int
    highest: int
    unit: str = field(default="", kw_only=True)
    words: Mapping[str, int] = field(default_factory=dict, kw_only=True)

    def _read(self, value: object) -> int:
        if isinstance(value, str) and value in self.words:
            return self.words[value]
        if isinstance(value, bool) or not isinstance(value, int) or not self.lowest <= value <= self.highest:
            raise ValueError
        return value

    @property
    def _rule(self) -> str:
        words = "".join(f", or {word!r} for {number}" for word, number in self.words.items())
        return f"a whole number{f' of {self.unit}' if self.unit else ''} from {self.lowest} to {self.highest}{words}"

    @property
    def _hint(self) -> Any:
        return Union[int, Literal[tuple(self.words)]] if self.words else int  # noqa: UP007


@dataclass(frozen=True)
class Number(Option):
    """A number from `lowest` to `highest`."""

    lowest: float
    highest: float

    def _read(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.lowest <= value <= self.highest:
            raise ValueError
        return float(value)

    @property
    def _rule(self) -> str:
        return f"a number from {self.lowest:g} to {self.highest:g}"

    @property
    def _hint(self) -> Any:
        return float


@dataclass(frozen=True)
class Flag(Option):
    """True or False."""

    def _read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    @property
    def _rule(self) -> str:
        return "True or False"

    @property
    def _hint(self) -> Any:
        return bool


@dataclass(frozen=True, init=False)
class Choice(Option):
    """One of some words or numbers."""

    values: tuple[str | int, ...]

    def __init__(self, *values: str | int, default: object, description: str, none: str = "") -> None:
        for name, value in {"values": values, "default": default, "description": description, "none": none}.items():
            object.__setattr__(self, name, value)

    def _read(self, value: object) -> object:
        for known in self.values:
            if type(value) is type(known) and value == known:
                return known
        raise ValueError

    @property
    def _rule(self) -> str:
        *most, last = map(repr, self.values)
        return f"{', '.join(most)} or {last}"

    @property
    def _hint(self) -> Any:
        return Literal[self.values]


def table(options: Mapping[str, Option]) -> str:
    """Format the options as a Markdown table, for the README of a family."""
    rows = [
        f"| `{name}` | `{option.default!r}` | {option.rule} | {option.description} |"
        for name, option in options.items()
    ]
    return "\n".join(["| `options=` | default | values | |", "|---|---|---|---|", *rows])
