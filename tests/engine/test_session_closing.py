"""What a session leaves behind: nothing."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
import torch

from tests.building import loaded, session_of
from tests.engine.sessions import HEIGHT, WIDTH, ask
from tests.fakes import Recorder
from vsvfi.engine import malloc
from vsvfi.engine.session import Session
from vsvfi.errors import VsvfiError


def test_a_dropped_session_closes(fake_family: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropping it ends its threads, empties its caches and restores malloc.

    Without garbage collection, and while its script is alive.
    """
    monkeypatch.setenv(malloc.VARIABLE, "keep")
    before, users = threading.active_count(), malloc._users
    session = session_of(loaded("fake", fake_family.weights), (WIDTH, HEIGHT))
    ask(session, 0, Fraction(1, 2))
    frames = session._workers[0]._pipeline._frames
    assert (threading.active_count(), malloc._users) == (before + 1, users + 1)
    assert frames.statistics().bytes > 0
    gc.disable()
    try:
        del session
        assert (threading.active_count(), malloc._users) == (before, users)
        assert frames.statistics().bytes == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("step", ["release", "_drop", "malloc", "workers"])
def test_a_fault_in_closing_one_device_stops_nothing_else(
    opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    from vsvfi.engine import worker as engine_worker

    before, users = threading.active_count(), malloc._users
    session = opened(devices=2)
    for first in range(4):
        ask(session, first, Fraction(1, 2))
    workers = list(session._workers)
    faults = [1]

    def once(original: Callable[..., None]) -> Callable[..., None]:
        def failing(*given: object) -> None:
            original(*given)
            if faults:
                faults.pop()
                raise RuntimeError("CUDA error: unspecified launch failure")

        return failing

    owner, name = {
        "release": (engine_worker, "release"),
        "_drop": (workers[0], "_drop"),
        "malloc": (malloc, "restore"),
        "workers": (workers[0]._executor, "close"),
    }[step]
    monkeypatch.setattr(owner, name, once(getattr(owner, name)))
    session.close()
    assert not faults
    assert "cpu could not be closed properly (RuntimeError: CUDA error" in caplog.text
    assert (threading.active_count(), malloc._users) == (before, users)
    assert session.statistics()["bytes"] == 0
    session.close()


def test_a_device_that_fails_at_the_start_takes_the_others_along(
    opened: Callable[..., Session], fake_family: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vsvfi.engine.build import LoadedModel

    users, built, original = malloc._users, [0], LoadedModel.network

    def failing(*given: object) -> object:
        built[0] += 1
        if built[0] == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(LoadedModel, "network", failing)
    with pytest.raises(torch.OutOfMemoryError):
        opened(devices=2)
    assert malloc._users == users
    ask(opened(), 0, Fraction(1, 2))


def test_a_closed_session_says_so(opened: Callable[..., Session]) -> None:
    session = opened()
    ask(session, 0, Fraction(1, 2))
    before = threading.active_count()
    session.close()
    session.close()
    assert threading.active_count() < before
    assert session.statistics()["bytes"] == 0
    with pytest.raises(VsvfiError, match="closed"):
        ask(session, 0, Fraction(1, 2))


def test_a_request_that_races_with_the_end_is_told_the_same(
    opened: Callable[..., Session], fake_family: Recorder
) -> None:
    session = opened()
    started, release = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        release.wait(10)

    fake_family.hook = hold
    with ThreadPoolExecutor(3) as threads:
        running = threads.submit(ask, session, 0, Fraction(1, 2))
        assert started.wait(10)
        waiting = threads.submit(ask, session, 4, Fraction(1, 2))
        while not session._workers[0]._executor.waiting:
            pass
        closing = threads.submit(session.close)
        with pytest.raises(VsvfiError, match="closed"):
            waiting.result(10)
        release.set()
        running.result(10)
        closing.result(10)
    session._open = True
    with pytest.raises(VsvfiError, match="closed"):
        ask(session, 0, Fraction(1, 2))
    session._open = False
