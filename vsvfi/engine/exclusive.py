"""Let threads share a device, or have it alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Sharing:
    """Any number of threads share; a thread that wants to be alone waits until they are done, and holds others up."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._wanted = 0
        self._alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """While active, other threads may share, but none is alone."""
        with self._changed:
            while self._alone or self._wanted:
                self._changed.wait()
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While active, no other thread is inside."""
        with self._changed:
            self._wanted += 1
            try:
                while self._alone or self._sharing:
                    self._changed.wait()
                self._alone = True
            finally:
                self._wanted -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
