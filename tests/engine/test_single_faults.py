"""A single fault in the k-th call of anything costs at most the frames in progress.

Later frames equal those of a clean run.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import torch
import vapoursynth as vs
from torch import Tensor

from tests.building import loaded, session_of
from tests.engine.sessions import Notes
from tests.fakes import Recorder, arrays, painted
from vsvfi.clip.graph import interpolate_with_config
from vsvfi.engine import cache, frame_source, padding, pipeline, session, worker
from vsvfi.engine.observer import PHASES, Observer, Phase
from vsvfi.engine.session import Session
from vsvfi.options import Arguments
from vsvfi.plan.timeline import Interpolate

SIZE = WIDTH, HEIGHT = 30, 18
REQUESTS = [(first, Fraction(step, 4)) for first in range(3) for step in (1, 2, 3)]

ERRORS: dict[str, Callable[[], Exception]] = {
    "lack of memory": MemoryError,
    "torch's lack of memory": lambda: RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
    ),
    "other": lambda: ValueError("a passing fault"),
}


class Fault:
    """Raises an error at the k-th call of what it is put around, counted from 1 once it is armed."""

    def __init__(self, k: int, error: Callable[[], Exception]) -> None:
        self._k, self._error, self._lock = k, error, threading.Lock()
        self.armed, self.calls = False, 0

    @property
    def raised(self) -> bool:
        return self.calls >= self._k

    def around[**P, R](self, function: Callable[P, R]) -> Callable[P, R]:
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._lock:
                self.calls += self.armed
                now = self.armed and self.calls == self._k
            if now:
                raise self._error()
            return function(*args, **kwargs)

        return call

    def at(self, phase: str) -> Callable[[Phase], None]:
        """A hook for `Notes` that this fault strikes in calls of one phase."""
        strike = self.around(lambda: None)

        def hook(called: Phase) -> None:
            if called == phase:
                strike()

        return hook


def load(index: int, into: Tensor) -> None:
    into.copy_(torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(index)))


PLACES: dict[str, tuple[object, str]] = {
    "thread start": (threading.Thread, "start"),
    "empty": (torch, "empty"),
    "full": (torch, "full"),
    "event": (threading, "Event"),
    "inference": (worker, "inference"),
    "still": (pipeline, "find_static_region"),
    "measure": (cache.Cache, "_hold"),
    "pad": (padding.Padding, "pad"),
    "crop": (padding.Padding, "crop"),
    "upload": (frame_source.Transfers, "upload"),
    "download": (frame_source.Transfers, "download"),
    "staging": (frame_source.Transfers, "staging"),
    "thread limit": (worker, "limit_threads"),
    "assignment": (session, "assign_worker"),
}
"""What a frame calls outside its network, besides `load` and `deliver`."""


def outcomes(opened: Session, fault: Fault | None = None, what: str = "") -> list[Tensor | Exception]:
    """Request all frames from three threads at a time; returns images or errors."""
    ready = threading.Barrier(4)

    def ask(request: tuple[int, Fraction]) -> Tensor | Exception:
        taken: list[Tensor] = []

        def deliver(image: Tensor) -> None:
            taken.append(image.clone())

        loading = fault.around(load) if fault and what == "load" else load
        delivering = fault.around(deliver) if fault and what == "deliver" else deliver
        try:
            first, t = request
            opened.interpolate(first, Interpolate(first, first + 1, t), loading, delivering)
        except Exception as error:
            return error.with_traceback(None)
        return taken[0]

    with ThreadPoolExecutor(3) as callers:
        for _ in range(3):
            callers.submit(ready.wait, 30)
        ready.wait(30)
        if fault:
            fault.armed = True  # the callers' own threads have been started
        try:
            return [asked.result(30) for asked in [callers.submit(ask, request) for request in REQUESTS]]
        except TimeoutError:
            opened.close()  # lets go of the callers that still wait
            raise
        finally:
            if fault:
                fault.armed = False


@pytest.fixture
def open_session(fake_family: Recorder) -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []
    model = loaded("fake", fake_family.weights)

    def opened(workers: int = 2, observer: Observer | None = None) -> Session:
        sessions.append(session_of(model, SIZE, workers=workers, observer=observer))
        return sessions[-1]

    yield opened
    for made in sessions:
        made.close()


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("what", ["load", "deliver", *PHASES, *PLACES])
def test_later_frames_are_those_of_a_clean_run(
    open_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, what: str, error: str
) -> None:
    clean = [made for made in outcomes(open_session()) if isinstance(made, Tensor)]
    assert len(clean) == len(REQUESTS)
    for workers, k in ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (2, 5), (2, 8)):
        fault = Fault(k, ERRORS[error])
        with monkeypatch.context() as patch:
            if what in PLACES:
                place, name = PLACES[what]
                inside = fault.around(getattr(place, name))
                patch.setattr(place, name, inside)
            opened = open_session(workers, Notes(fault.at(what)))
            first = outcomes(opened, fault, what)
        assert fault.raised or k > 1
        failed = [made for made in first if isinstance(made, Exception)]
        assert len(failed) <= 3, failed  # no more than ran at that time
        assert not any("unloaded" in str(made) for made in failed), failed
        for made, expected in zip(first, clean, strict=True):
            assert isinstance(made, Exception) or torch.equal(made, expected)
        again = outcomes(opened)
        assert all(
            isinstance(made, Tensor) and torch.equal(made, expected)
            for made, expected in zip(again, clean, strict=True)
        ), again


@pytest.mark.parametrize("what", ["release", "workers", "drop"])
def test_a_fault_while_closing_ends_the_rest_and_spares_the_next(
    open_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    clean, opened = outcomes(open_session()), open_session()
    outcomes(opened)
    place, name = {
        "release": (worker, "release"),
        "workers": (worker.Workers, "close"),
        "drop": (worker.DeviceWorker, "_drop"),
    }[what]
    fault = Fault(1, ERRORS["other"])
    fault.armed = True
    with monkeypatch.context() as patch:
        patch.setattr(place, name, fault.around(getattr(place, name)))
        opened.close()
    assert fault.raised
    again = outcomes(open_session())
    assert all(torch.equal(made, expected) for made, expected in zip(again, clean, strict=True))


def pattern(n: int, plane: int, array: np.ndarray) -> None:
    rows, columns = np.mgrid[: array.shape[0], : array.shape[1]]
    array[:] = 0.5 + 0.2 * np.sin((columns + 2 * n + plane) / 5) + 0.1 * np.cos(rows / 3)


def played(node: vs.VideoNode) -> list[list[np.ndarray] | str]:
    """All frames of a clip, or the messages that came instead."""
    found: list[list[np.ndarray] | str] = []
    asked = [node.get_frame_async(n) for n in range(node.num_frames)]
    for future in asked:
        try:
            with future.result(30) as frame:
                found.append(arrays(frame))
        except Exception as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("what", [*PHASES, "thread start", "empty", "staging", "upload", "download", "still"])
def test_a_clip_recovers_as_well(fake_family: Recorder, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    source = painted(pattern, format=vs.RGBS, width=WIDTH, height=HEIGHT, length=4, fpsnum=24)

    def clip(observer: Observer | None = None) -> vs.VideoNode:
        chosen: Arguments = {"device": "cpu", "precision": "fp32", "scene": "off", "cache": 0}
        weights = str(fake_family.weights)
        return interpolate_with_config(source, observer, model="fake", weights=weights, **chosen).clip

    clean = played(clip())
    assert not any(isinstance(made, str) for made in clean), clean
    for k in (1, 2, 4):
        fault = Fault(k, ERRORS["other"] if what != "thread start" else lambda: RuntimeError("can't start new thread"))
        node = clip(Notes(fault.at(what)))
        with monkeypatch.context() as patch:
            if what in PLACES:
                place, name = PLACES[what]
                patch.setattr(place, name, fault.around(getattr(place, name)))
            fault.armed = True
            first = played(node)
            fault.armed = False
        assert fault.raised or k > 1
        assert not any("unloaded" in made for made in first if isinstance(made, str)), first
        again = played(node)
        for made, expected in zip(again, clean, strict=True):
            assert not isinstance(made, str), made
            assert all(np.array_equal(one, other) for one, other in zip(made, expected, strict=True))
        del node
        gc.collect()
