"""Limit the time of calls that cannot be stopped, such as one of a network or of a source filter."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Deadline:
    """Runs calls on a thread of its own, one at a time, and waits for each until the time is over.

    A call that is still running then is abandoned, not stopped: `busy` says so, and the process has to be ended without
    waiting for it. Signals are handled while the main thread waits.

    Args:
        seconds: from now on.

    Attributes:
        until: when the time is over, by `time.monotonic()`.
    """

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._last: Future[Any] | None = None
        self._thread: threading.Thread | None = None

    @property
    def left(self) -> float:
        """Seconds until the time is over; 0 afterwards."""
        return max(self.until - time.monotonic(), 0.0)

    @property
    def busy(self) -> bool:
        """Whether a call is still running."""
        return self._last is not None and not self._last.done()

    def call[Found](self, function: Callable[[], Found]) -> Found:
        """Return what a call returns, or raise what it raises.

        Raises:
            TimeoutError: the time is over.
        """
        if self.busy or not self.left:
            raise TimeoutError
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="compare", daemon=True)
            self._thread.start()
        future: Future[Found] = Future()
        self._last = future
        self._calls.put((future, function))
        return future.result(self.left)

    def _run(self) -> None:
        while True:
            future, function = self._calls.get()
            try:
                future.set_result(function())
            except BaseException as error:  # for the caller, who waits in another thread
                future.set_exception(error)
            del future, function
