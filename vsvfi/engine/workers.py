"""A bounded thread pool whose callers wait for their work.

If a thread cannot be started, work runs on fewer threads or on the caller's, and the next call tries again. Errors are
raised in the caller and not stored here, so that what their tracebacks reference is freed once they are handled.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext


class ClosedError(Exception):
    """The pool is closed."""


class _Job:
    """Work that one caller waits for."""

    __slots__ = ("error", "finished", "started", "work")

    def __init__(self, work: Callable[[], None]) -> None:
        self.work: Callable[[], None] | None = work
        self.started = self.finished = False
        self.error: BaseException | None = None

    def run(self) -> None:
        """Run the work; an exception is stored for the caller."""
        work, self.work = self.work, None
        assert work is not None
        try:
            work()
        except BaseException as error:  # the caller raises it
            self.error = error


class Workers:
    """At most `threads` pieces of work at a time.

    Args:
        threads: how many threads are started, when there is work for them.
        name: of the threads.
        prepare: called by each thread before its first work. A thread in which it fails ends.
        borrowed: a context for work that runs on its caller's thread, with the same effect as `prepare`.
    """

    def __init__(
        self,
        threads: int,
        name: str,
        prepare: Callable[[], None] | None = None,
        borrowed: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._limit, self._name, self._prepare, self._borrowed = threads, name, prepare, borrowed
        # Reentrant: a collection of garbage may close another pool, or this one, at any point of any thread.
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[_Job] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._lent = 0
        self._closed = False

    def run(self, work: Callable[[], None]) -> None:
        """Do `work` on a thread of the pool and wait for it; waiting holds no GIL.

        Raises:
            ClosedError: the pool is closed, or was before the work began.
        """
        job = _Job(work)
        del work
        with self._changed:
            if self._closed:
                raise ClosedError
            self._queue.append(job)
            try:
                if len(self._queue) > self._idle and len(self._threads) + self._lent < self._limit:
                    self._start_thread()
            except BaseException:
                self._queue.remove(job)
                raise
            self._changed.notify_all()
        self._wait_for(job)
        error, job.error = job.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # else this frame and the error would keep each other alive

    def close(self) -> None:
        """Finish running work, drop queued work and end the threads; may be called repeatedly and by any thread."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify_all()
            threads = self._threads - {threading.current_thread()}
        for thread in threads:
            thread.join()

    @property
    def waiting(self) -> int:
        """Number of queued jobs that have not started."""
        with self._changed:
            return len(self._queue)

    def _start_thread(self) -> None:
        """Start another thread if the system allows it. Called with the lock held."""
        thread = None
        try:
            thread = threading.Thread(target=self._serve, name=f"{self._name}_{len(self._threads)}", daemon=True)
            self._threads.add(thread)
            thread.start()
        except BaseException as error:
            if thread is not None:
                self._threads.discard(thread)
            # "can't start new thread": a limit of the process, the user or the container.
            if not isinstance(error, RuntimeError | MemoryError | OSError):
                raise

    def _wait_for(self, job: _Job) -> None:
        """Wait until the job is finished; run it on this thread if the pool has no thread for it."""
        while True:
            with self._changed:
                while (
                    not job.finished
                    and not (self._closed and not job.started)
                    and (job.started or not self._may_lend())
                ):
                    self._changed.wait()
                if job.finished:
                    return
                if self._closed:
                    raise ClosedError
                self._queue.remove(job)
                job.started = True
                self._lent += 1
            try:
                with self._borrowed():
                    job.run()
            finally:
                with self._changed:
                    job.finished = True
                    self._lent -= 1
                    self._changed.notify_all()
            return

    def _may_lend(self) -> bool:
        """Whether work may run on the caller's thread: the pool has no threads, and not too many callers do so."""
        return not self._threads and self._lent < self._limit

    def _serve(self) -> None:
        """Run jobs until the pool is closed."""
        try:
            if not self._prepared():
                return  # the work is done by other threads, or by its callers
            while (job := self._next()) is not None:
                job.run()
                with self._changed:
                    job.finished = True
                    self._changed.notify_all()
                del job
        finally:
            with self._changed:
                self._threads.discard(threading.current_thread())
                self._changed.notify_all()

    def _prepared(self) -> bool:
        """Whether this thread is ready for work."""
        try:
            if self._prepare is not None:
                self._prepare()
        except Exception:
            return False
        return True

    def _next(self) -> _Job | None:
        """The next job, begun; None once the pool is closed."""
        with self._changed:
            while not self._queue:
                if self._closed:
                    return None
                self._idle += 1
                try:
                    self._changed.wait()
                finally:
                    self._idle -= 1
            job = self._queue.popleft()
            job.started = True
            return job
