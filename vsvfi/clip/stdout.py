"""Redirect stdout to stderr during construction, since vspipe writes the video to stdout."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

_lock = threading.RLock()
_users = 0
_kept: int | None = None
"""A copy of stdout while anybody is inside; None where it could not be redirected."""


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send whatever is written to stdout inside (print, C libraries, subprocesses) to stderr.

    Only for construction time: once frames flow, the host writes to file descriptor 1 from other threads. Any number of
    threads may be inside, in any order: the first redirects the process, and the last one out restores it.
    Hosts without a stdout or a stderr (windowed programs) are left alone.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _users, _kept
    with _lock:
        if _users == 0:
            _flush()
            _kept = _redirect()
        _users += 1


def _leave() -> None:
    global _users, _kept
    with _lock:
        _users -= 1
        if _users or _kept is None:
            return
        kept, _kept = _kept, None
        try:
            _flush()
            os.dup2(kept, 1)
        finally:
            os.close(kept)


def _redirect() -> int | None:
    """Redirect file descriptor 1 to stderr; returns a copy of the original, or None without a stdout or stderr."""
    try:
        kept = os.dup(1)
    except OSError:
        return None
    try:
        os.dup2(2, 1)
    except BaseException as error:
        os.close(kept)
        if isinstance(error, OSError):
            return None
        raise
    return kept


def _flush() -> None:
    """Flush Python's and the C library's stdout buffers.

    Both may hold data when stdout is a pipe, and the host writes to the same descriptor.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, AttributeError, ValueError):
        if sys.platform == "win32":
            ctypes.CDLL("ucrtbase").fflush(None)
        else:  # that one stream alone: another thread may be holding a different one
            library = ctypes.CDLL(None)
            library.fflush(ctypes.c_void_p.in_dll(library, "__stdoutp" if sys.platform == "darwin" else "stdout"))
