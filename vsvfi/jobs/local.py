"""Distribute chunks to the workers of this machine, one thread per worker."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vsvfi.jobs.chunks import Chunk
from vsvfi.jobs.progress import Progress
from vsvfi.jobs.retry import Failure, Places, Try, next_try
from vsvfi.jobs.worker import Report, Worker

_TICK = 0.2


class Running(Protocol):
    """A chunk that is being rendered."""

    def run(self, report: Report, rendered: Callable[[], None]) -> Failure | None:
        """Wait until it has ended; returns why it failed, None if it is done.

        `rendered` is called when only the verification is left, which takes no GPU.
        """

    def stop(self) -> None:
        """Stop rendering it."""


class Observer(Protocol):
    """Reports a job's progress; called only in the thread that runs the job."""

    def tick(self, progress: Progress) -> None:
        """Show the progress; called several times per second."""

    def note(self, text: str) -> None:
        """Report something in one line."""

    def finished(self, worker: str, chunk: Chunk) -> None:
        """A chunk is done."""

    def failed(self, worker: str, chunk: Chunk, failure: Failure, following: Try | None) -> None:
        """A try has failed; `following` is the next one, None if there is none."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run of a job needs.

    Attributes:
        observer: receives the progress.
        streams: the job's own setting.
    """

    observer: Observer
    streams: int | None = None


def run_locally(
    chunks: Sequence[Chunk],
    workers: Sequence[Worker],
    start: Callable[[Worker, Chunk, Try], Running],
    progress: Progress,
    setting: Setting,
) -> dict[Chunk, Failure]:
    """Render chunks, trying those again that fail.

    Args:
        chunks: what is to be done, in this order.
        workers: each renders one chunk at a time.
        start: begins a chunk.
        progress: is kept up to date.
        setting: see there.

    Returns:
        The chunks that failed for good, with the last reason.
    """
    return _Pool(chunks, start, progress, setting).run(workers)


class _Pool:
    def __init__(
        self,
        chunks: Sequence[Chunk],
        start: Callable[[Worker, Chunk, Try], Running],
        progress: Progress,
        setting: Setting,
    ) -> None:
        self._waiting = deque((chunk, Try()) for chunk in chunks)
        self._unfinished = len(chunks)
        self._workers: frozenset[str] = frozenset()
        self._places = Places()
        self._start, self._progress, self._setting = start, progress, setting
        self._changed = threading.Condition()
        self._stopped = False
        self._running: set[Running] = set()
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._failed: dict[Chunk, Failure] = {}

    def run(self, workers: Sequence[Worker]) -> dict[Chunk, Failure]:
        threads = [threading.Thread(target=self._work, args=(worker,), daemon=True) for worker in workers]
        self._workers = frozenset(worker.name for worker in workers)
        for worker in workers:
            self._progress.waiting(worker.name)
        try:
            for thread in threads:
                thread.start()
            while self._unfinished or not self._events.empty():
                with contextlib.suppress(queue.Empty):
                    self._events.get(timeout=_TICK)()
                self._setting.observer.tick(self._progress)
        finally:
            self._stop()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        return self._failed

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True
            running = list(self._running)
            self._changed.notify_all()
        for one in running:
            one.stop()

    def _work(self, worker: Worker) -> None:
        """Render one chunk after another; the next one begins while the one before it is verified."""
        before: threading.Thread | None = None
        while (task := self._take(worker)) is not None:
            free = threading.Event()
            thread = threading.Thread(target=self._try, args=(worker, *task, free), daemon=True)
            thread.start()
            free.wait()
            if before is not None:
                before.join()
            before = thread
        if before is not None:
            before.join()

    def _try(self, worker: Worker, chunk: Chunk, current: Try, free: threading.Event) -> None:
        """Render a chunk; `free` is set when its worker may begin another one."""
        self._events.put(lambda: self._progress.started(worker.name, chunk))

        def rendered() -> None:
            self._events.put(lambda: self._progress.rendered(worker.name, chunk))
            free.set()

        try:
            failure = self._render(worker, chunk, current, rendered)
        except Exception as error:  # a disk that is full, a process that cannot be started
            failure = Failure(str(error) or type(error).__name__)
        finally:
            free.set()
        if not self._stopped:
            self._settle(worker, chunk, current, failure)

    def _take(self, worker: Worker) -> tuple[Chunk, Try] | None:
        with self._changed:
            while not self._stopped and self._unfinished:
                suits = (task for task in self._waiting if self._places.suits(task[0], worker.name, self._workers))
                task = next(suits, None)
                if task is not None:
                    self._waiting.remove(task)
                    return task
                self._changed.wait()
            return None

    def _render(self, worker: Worker, chunk: Chunk, current: Try, rendered: Callable[[], None]) -> Failure | None:
        def report(frames: int, rate: float) -> None:
            self._events.put(lambda: self._progress.advanced(worker.name, frames, rate))

        with self._changed:
            if self._stopped:
                return Failure("stopped")
            running = self._start(worker, chunk, current)
            self._running.add(running)
        try:
            return running.run(report, rendered)
        finally:
            with self._changed:
                self._running.discard(running)

    def _settle(self, worker: Worker, chunk: Chunk, current: Try, failure: Failure | None) -> None:
        """Note the end of a try, and queue the next one."""
        following = None if failure is None else next_try(current, failure, self._setting.streams)
        self._events.put(lambda: self._tell(worker, chunk, failure, following))
        with self._changed:
            if failure is not None:
                self._places.failed(chunk, worker.name, failure)
            if following is not None:
                self._waiting.append((chunk, following))
            else:
                self._unfinished -= 1
            self._changed.notify_all()

    def _tell(self, worker: Worker, chunk: Chunk, failure: Failure | None, following: Try | None) -> None:
        if failure is None:
            self._progress.finished(worker.name, chunk)
            self._setting.observer.finished(worker.name, chunk)
            return
        if following is None:
            self._failed[chunk] = failure
        self._progress.failed(worker.name, chunk, for_good=following is None)
        self._setting.observer.failed(worker.name, chunk, failure, following)
