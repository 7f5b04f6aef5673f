"""Source frames for sessions, requests to them, and a recording observer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction

import torch
from torch import Tensor

from vsvfi.engine.observer import Observer, Phase
from vsvfi.engine.session import Session
from vsvfi.plan.timeline import Interpolate

WIDTH, HEIGHT = 30, 18


def load(index: int, into: Tensor) -> None:
    """Source frame k is an image that depends on k alone."""
    into.copy_(torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(index)))


def source(index: int) -> Tensor:
    image = torch.empty(1, 3, HEIGHT, WIDTH)
    load(index, image)
    return image[0]


def ask(session: Session, first: int, t: Fraction, second: int | None = None) -> Tensor:
    taken: list[Tensor] = []
    goal = Interpolate(first, first + 1 if second is None else second, t)
    session.interpolate(0, goal, load, lambda image: taken.append(image.clone()))
    return taken[0]


class Notes(Observer):
    """Every call of a network, in the order of the calls.

    Args:
        hook: called with the phase before the network is; what it raises looks like an error of the network.
    """

    def __init__(self, hook: Callable[[Phase], None] | None = None) -> None:
        self._lock, self._hook = threading.Lock(), hook
        self.calls: list[tuple[Phase, list[Fraction]]] = []

    def phase(self, phase: Phase, positions: Sequence[Fraction]) -> AbstractContextManager[object]:
        with self._lock:
            self.calls.append((phase, list(positions)))
        if self._hook is not None:
            self._hook(phase)
        return nullcontext()

    def positions(self, phase: Phase) -> list[list[Fraction]]:
        with self._lock:
            return [positions for called, positions in self.calls if called == phase]
