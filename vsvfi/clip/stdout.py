"""Keeps stdout clean while noisy things happen: vspipe writes the video there. Knows nothing of what is being done inside."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Whatever is written to stdout inside (print, C libraries, subprocesses) goes to stderr.

    Only for construction time: once frames flow, file descriptor 1 is being written to by the host from other threads.
    Hosts without a stdout or a stderr (windowed programs) are left alone.
    """
    _flush()
    try:
        kept = os.dup(1)
    except OSError:
        yield
        return
    try:
        try:
            os.dup2(2, 1)
        except OSError:
            yield
            return
        try:
            yield
        finally:
            _flush()
            os.dup2(kept, 1)
    finally:
        os.close(kept)


def _flush() -> None:
    """Python's own buffer must not cross the border."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
