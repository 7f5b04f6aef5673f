"""How much may come, how slowly, and how long an answer may take."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

LARGEST = 8 << 30
"""Bytes that a file may have whose size nobody has published."""

SLOWEST = 4096
"""Bytes per second that must come on average over a window. Less is a server that trickles; a slow line brings more."""

WINDOW = 30.0  # seconds
ANSWER = 60.0  # seconds until the header of an answer must be complete


class SourceError(Exception):
    """One source failed for good; its text is the reason. Never leaves `vsvfi.weights`."""


class InterruptedTransferError(Exception):
    """One attempt failed in a way that another may mend."""


class Pace:
    """Watches that bytes come fast enough."""

    def __init__(self, done: int) -> None:
        self._since, self._before = time.monotonic(), done

    def check(self, done: int) -> None:
        """Call with the bytes so far, after each piece.

        Raises:
            InterruptedTransferError: the last window brought too few.
        """
        now = time.monotonic()
        if now - self._since < WINDOW:
            return
        brought = done - self._before
        if brought < SLOWEST * (now - self._since):
            raise InterruptedTransferError(f"the server is too slow ({brought} bytes in {now - self._since:.0f} s)")
        self._since, self._before = now, done


class AnswerTimer:
    """Ends connections whose answer does not become complete: a timeout of sockets starts again with every byte."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self.expired = False

    def watch(self, connection: socket.socket) -> None:
        self._sockets.append(connection)

    def _expire(self) -> None:
        self.expired = True
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(
                    connection, socket.SHUT_RDWR
                )  # of an SSL socket too: its own would meddle with a read

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[], None]]:
        """Count while inside; what is given stops the count."""
        timer = threading.Timer(ANSWER, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield timer.cancel
        finally:
            timer.cancel()
