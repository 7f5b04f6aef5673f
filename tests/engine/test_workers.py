"""A pool that survives any failure of its threads and keeps nothing of failed work."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from vsvfi.engine.workers import ClosedError, Workers


def name_of(pool: Workers) -> str:
    """The thread on which the pool does something."""
    found: list[str] = []
    pool.run(lambda: found.append(threading.current_thread().name))
    return found[0]


class Starts:
    """`Thread.start` that fails at chosen calls, counted from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: Callable[[int], bool]) -> None:
        self.count, start = 0, threading.Thread.start

        def counted(thread: threading.Thread) -> None:
            if thread.name.startswith("pool"):
                self.count += 1
                if failing(self.count):
                    raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", counted)


def test_no_more_threads_than_allowed_and_no_more_than_needed() -> None:
    pool = Workers(3, "few")

    def alive() -> int:
        return sum(thread.name.startswith("few") for thread in threading.enumerate())

    for _ in range(5):
        assert name_of(pool).startswith("few")
    assert alive() == 1  # one at a time needs one
    barrier = threading.Barrier(3)
    with ThreadPoolExecutor(9) as callers:
        list(callers.map(lambda _: pool.run(lambda: barrier.wait(10)), range(9)))
    pool.close()
    assert alive() == 0


def test_work_runs_on_its_caller_where_no_thread_starts_and_on_threads_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared: list[str] = []

    @contextmanager
    def borrowed() -> Iterator[None]:
        prepared.append("in")
        yield
        prepared.append("out")

    Starts(monkeypatch, lambda count: count <= 2)
    pool = Workers(2, "pool", borrowed=borrowed)
    own = threading.current_thread().name
    assert [name_of(pool), name_of(pool)] == [own, own]
    assert prepared == ["in", "out"] * 2
    assert name_of(pool).startswith("pool")
    pool.close()


def test_no_more_callers_than_threads_work_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    Starts(monkeypatch, lambda count: True)
    pool, lock, now, most = Workers(2, "pool"), threading.Lock(), [0], [0]

    def work() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.01)
        with lock:
            now[0] -= 1

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lambda _: pool.run(work), range(24)))
    assert 1 <= most[0] <= 2
    pool.close()


def test_a_thread_that_cannot_prepare_ends_and_its_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [1]

    def prepare() -> None:
        if faults:
            faults.pop()
            raise RuntimeError("can't start new thread")

    pool = Workers(1, "pool", prepare)
    assert name_of(pool) == threading.current_thread().name
    assert name_of(pool).startswith("pool")
    pool.close()


def test_another_error_at_a_start_is_the_callers_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, start = Workers(1, "pool"), threading.Thread.start
    done: list[int] = []

    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.run(lambda: done.append(1))
    monkeypatch.setattr(threading.Thread, "start", start)
    pool.run(lambda: done.append(2))
    assert done == [2]
    pool.close()


@pytest.mark.parametrize("on_caller", [False, True])
def test_an_error_is_raised_and_not_kept(monkeypatch: pytest.MonkeyPatch, on_caller: bool) -> None:
    class Large:
        pass

    if on_caller:
        Starts(monkeypatch, lambda count: True)
    made: list[weakref.ref[Large]] = []

    def work() -> None:
        large = Large()
        made.append(weakref.ref(large))
        raise ValueError("broken")

    pool = Workers(1, "pool")
    gc.disable()
    try:
        for _ in range(2):
            try:
                pool.run(work)
            except ValueError:
                pass
            else:
                raise AssertionError("the error was lost")
            pool.run(lambda: None)  # the thread has let go of the work before
            assert made[-1]() is None
    finally:
        gc.enable()
        pool.close()


def test_closing_ends_what_waits_and_may_come_from_a_thread_of_the_pool() -> None:
    pool = Workers(1, "pool")
    inside, go_on = threading.Event(), threading.Event()

    def long() -> None:
        inside.set()
        go_on.wait(10)

    with ThreadPoolExecutor(3) as callers:
        running = callers.submit(pool.run, long)
        assert inside.wait(10)
        waiting = callers.submit(pool.run, lambda: None)
        while not pool.waiting:
            pass
        closing = callers.submit(pool.close)
        with pytest.raises(ClosedError):
            waiting.result(10)
        go_on.set()
        running.result(10)
        closing.result(10)
    with pytest.raises(ClosedError):
        pool.run(lambda: None)
    other = Workers(1, "pool")
    other.run(other.close)
    with pytest.raises(ClosedError):
        other.run(lambda: None)
