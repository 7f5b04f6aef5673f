"""One step of the acceptance run, and what it gets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Context:
    """What every step gets.

    Attributes:
        device: to check.
        small: run on small frames and few of them, to test the steps themselves.
        deadline: value of `time.monotonic()` at which the run must be done.
    """

    device: torch.device
    small: bool = False
    deadline: float = float("inf")

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()


class FailedError(Exception):
    """What a step measured is outside its bound; `found` is reported all the same."""

    def __init__(self, reason: str, found: dict[str, Any]) -> None:
        super().__init__(reason)
        self.found = found


class UnavailableError(Exception):
    """What a step needs is not on this machine; it is skipped with this reason."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step.

    Attributes:
        name: unique.
        run: returns what was found, as JSON values; raises `FailedError` if it is outside a bound.
        least: seconds that must be left for it to be started.
        most: seconds after which it counts as hung, or ends with the run if that is earlier.
    """

    name: str
    run: Callable[[Context], dict[str, Any]] = field(repr=False)
    least: float = 5.0
    most: float = 120.0
