"""Record when the phases of a session's networks run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import torch

from vsvfi.engine.observer import Observer, Phase


class PhaseTimes(Observer):
    """Sums the time that is spent inside a network.

    Args:
        device: of the session.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._noted: list[tuple[float, float, list[Any]]] = []
        self._origin: Any = None
        if device.type == "cuda":
            event: Any = torch.cuda.Event
            self._origin = event(enable_timing=True)
            self._origin.record()

    @contextlib.contextmanager
    def phase(self, phase: Phase, positions: Sequence[Fraction]) -> Iterator[None]:
        event: Any = torch.cuda.Event
        events = [event(enable_timing=True) for _ in range(2)] if self._device.type == "cuda" else []
        started = time.perf_counter()
        for mark in events[:1]:
            mark.record()
        yield
        for mark in events[1:]:
            mark.record()
        self._noted.append((started, time.perf_counter(), events))

    def between(self, begun: float, ended: float) -> float:
        """Seconds between two values of `time.perf_counter` during which any phase ran.

        On CUDA these are times of the device, for phases that the host queued meanwhile; the device must be idle.
        """
        if self._device.type != "cuda":
            return covered([(max(started, begun), min(stopped, ended)) for started, stopped, _ in self._noted])
        return covered(
            [
                (self._origin.elapsed_time(events[0]) / 1000, self._origin.elapsed_time(events[1]) / 1000)
                for started, _, events in list(self._noted)
                if begun <= started <= ended
            ]
        )


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The time that spans cover; those of several frames overlap."""
    total, until = 0.0, float("-inf")
    for started, stopped in sorted(spans):
        total += max(0.0, stopped - max(started, until))
        until = max(until, stopped)
    return total
