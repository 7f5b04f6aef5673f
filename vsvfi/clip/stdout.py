"""Keeps stdout clean while noisy things happen: vspipe writes the video there. Knows nothing of what is being done inside."""

from __future__ import annotations

import contextlib
import ctypes
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
    """Neither Python's buffer nor the C library's may cross the border: both are full when stdout is a pipe, and the host writes to the same one."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, AttributeError, ValueError):
        if sys.platform == "win32":
            ctypes.CDLL("ucrtbase").fflush(None)
        else:  # that one stream alone: another thread may be holding a different one
            library = ctypes.CDLL(None)
            library.fflush(ctypes.c_void_p.in_dll(library, "__stdoutp" if sys.platform == "darwin" else "stdout"))
