"""Report on stderr how far a long run is and how long the rest takes."""

from __future__ import annotations

import sys
import time

_EVERY = 30.0
"""Seconds between lines where stderr is no terminal."""


class Progress:
    """One line that is rewritten on a terminal, and one line every half minute elsewhere."""

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self._title, self._total, self._done, self._before = title, total, done, done
        self._began = self._shown = time.monotonic()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        if done:
            print(f"{title}: {done} of {total} were done before", file=sys.stderr)

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        now = time.monotonic()
        if self._terminal or now - self._shown >= _EVERY or self._done == self._total:
            self._shown = now
            end = "\r" if self._terminal and self._done < self._total else "\n"
            print(f"{self.line(now - self._began):<79}", end=end, file=sys.stderr, flush=True)

    def line(self, elapsed: float) -> str:
        """What is shown after so many seconds."""
        each = elapsed / max(self._done - self._before, 1)
        left = _duration(each * (self._total - self._done))
        share = 100 * self._done // max(self._total, 1)
        return f"{self._title}: {self._done} of {self._total} ({share} %), {each:.2f} s each, {left} left"


def _duration(seconds: float) -> str:
    """Rounded up to seconds, minutes or hours."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
