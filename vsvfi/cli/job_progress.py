"""Show the progress of a job: one line on a terminal, a line now and then elsewhere, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any, Self

from vsvfi.cli.console import say
from vsvfi.jobs.chunks import Chunk
from vsvfi.jobs.progress import Progress
from vsvfi.jobs.retry import Failure, Try

_EVERY_TERMINAL, _EVERY_LINE, _EVERY_JSON = 0.5, 30.0, 1.0


class Shown:
    """Context manager that shows a job's progress.

    Args:
        json: print JSON lines on stdout too.
    """

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._last = self._last_json = time.monotonic()
        self._line = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_line()

    def tick(self, progress: Progress) -> None:
        """Show the progress if it is time to."""
        now = time.monotonic()
        if self._json and now - self._last_json >= _EVERY_JSON:
            self._last_json = now
            self._event(progress.values())
        if now - self._last < (_EVERY_TERMINAL if self._terminal else _EVERY_LINE):
            return
        self._last = now
        text = progress.text()
        if self._terminal:
            say(f"\r{text:<{len(self._line)}}", end="")
            self._line = text
        else:
            say(text)

    def finished(self, worker: str, chunk: Chunk) -> None:
        """A chunk is done."""
        self._event({"event": "chunk", "chunk": chunk.number, "state": "done", "worker": worker})

    def failed(self, worker: str, chunk: Chunk, failure: Failure, following: Try | None) -> None:
        """Report a failed try."""
        self._end_line()
        again = "it is left out"
        if following is not None:
            again = "trying again" + (f" with streams={following.streams}" if following.streams else "")
        say(f"{chunk} failed on {worker}: {failure.reason}; {again}")
        state = "failed" if following is None else "again"
        self._event(
            {"event": "chunk", "chunk": chunk.number, "state": state, "worker": worker, "error": failure.reason}
        )

    def note(self, text: str) -> None:
        """Print a line."""
        self._end_line()
        say(text)

    def _event(self, values: dict[str, Any]) -> None:
        if self._json:
            print(json.dumps(values), flush=True)

    def _end_line(self) -> None:
        if self._line:
            say("")
            self._line = ""
