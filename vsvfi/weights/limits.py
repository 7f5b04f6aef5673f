"""Limits on the size, speed and response time of downloads."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

LARGEST = 8 << 30
"""Maximum bytes of a file without a published size."""

SLOWEST = 4096
"""Minimum average bytes per second over a window; even slow connections are faster than this."""

WINDOW = 30.0  # seconds
ANSWER = 60.0  # seconds until the header of an answer must be complete


class SourceError(Exception):
    """One source failed for good; its text is the reason. Never leaves `vsvfi.weights`."""


class InterruptedTransferError(Exception):
    """One attempt failed, but a retry may succeed."""


class Pace:
    """Checks that a transfer is fast enough."""

    def __init__(self, done: int) -> None:
        self._since, self._before = time.monotonic(), done

    def check(self, done: int) -> None:
        """Check the bytes received so far; call it after each chunk.

        Raises:
            InterruptedTransferError: too few bytes in the last window.
        """
        now = time.monotonic()
        if now - self._since < WINDOW:
            return
        brought = done - self._before
        if brought < SLOWEST * (now - self._since):
            raise InterruptedTransferError(f"the server is too slow ({brought} bytes in {now - self._since:.0f} s)")
        self._since, self._before = now, done


class AnswerTimer:
    """Aborts connections whose response header stays incomplete; socket timeouts restart with every byte."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self.expired = False

    def watch(self, connection: socket.socket) -> None:
        self._sockets.append(connection)

    def _expire(self) -> None:
        self.expired = True
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                # Of an SSL socket too: its own would meddle with a read
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[], None]]:
        """Run the timer while active; yields a function that stops it."""
        timer = threading.Timer(ANSWER, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield timer.cancel
        finally:
            timer.cancel()
