"""Report the progress and remaining time of a long run on stderr."""

from __future__ import annotations

import sys
import time

_EVERY = 30.0
"""Seconds between lines if stderr is not a terminal."""


class Progress:
    """Updates one line on a terminal, and prints one line every half minute elsewhere."""

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self._title, self._total, self._done, self._before = title, total, done, done
        self._began = self._shown = time.monotonic()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        if done:
            print(f"{title}: {done} of {total} were done before", file=sys.stderr)

    def advance(self) -> None:
        """Count one more item."""
        self._done += 1
        now = time.monotonic()
        if self._terminal or now - self._shown >= _EVERY or self._done == self._total:
            self._shown = now
            end = "\r" if self._terminal and self._done < self._total else "\n"
            print(f"{self.line(now - self._began):<79}", end=end, file=sys.stderr, flush=True)

    def line(self, elapsed: float) -> str:
        """Format the line after so many seconds."""
        each = elapsed / max(self._done - self._before, 1)
        left = _duration(each * (self._total - self._done))
        share = 100 * self._done // max(self._total, 1)
        return f"{self._title}: {self._done} of {self._total} ({share} %), {each:.2f} s each, {left} left"


def _duration(seconds: float) -> str:
    """Format seconds, rounded up to seconds, minutes or hours."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
