"""Tune glibc malloc so that memory freed by one frame is reused by the next (no-op on other C libraries).

By default glibc returns large blocks to the system as soon as they are freed. A network allocates the same sizes for
every frame, and the system has to map and zero each page again. Retained pages are released when the last user closes.
All threads share one heap, since per-thread heaps would each retain free memory.

glibc before 2.38 does not reuse a freed aligned block for the next aligned one of the same size, and frames and tensors
are aligned: free memory spreads with the number of frames, and so do the pages it occupies. So free pages are released
whenever resident memory has grown (`trim`). Free memory is no indication, since released pages count as free.

The settings apply to the whole process, so they are changed inside vspipe, and in other programs only if
VSVFI_MALLOC=keep is set.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import threading
from pathlib import Path

from vsvfi.errors import ArgumentError

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of mallopt: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX."""
_LARGE, _LARGEST_EVERYWHERE = 1 << 30, 32 << 20
"""M_MMAP_THRESHOLD in bytes: what newer versions accept, and what all versions accept."""
_USUAL = 128 << 10
"""glibc's initial value of both thresholds."""

VARIABLE = "VSVFI_MALLOC"
"""The environment variable that decides: "keep" or "system"."""

_CHECKED_EVERY = 64  # frames
_MOST_GROWTH = 64 << 20
"""Bytes by which resident memory may grow before free pages are released, in addition to an eighth of what it was."""

_lock = threading.RLock()  # a collection of garbage may end a session at any point
_users = 0
_changed = False
_frames = 0
_settled: int | None = None
"""Resident memory in use by frames since free pages were last released; None until the next check."""


class _Statistics(ctypes.Structure):
    """struct mallinfo2."""

    _fields_ = [(f"field{index}", ctypes.c_size_t) for index in range(7)] + [
        (name, ctypes.c_size_t) for name in ("uordblks", "fordblks", "keepcost")
    ]


def wanted() -> bool:
    """Whether to change this process's malloc settings: inside vspipe, or if VSVFI_MALLOC is "keep".

    Raises:
        ArgumentError: VSVFI_MALLOC is neither "keep" nor "system".
    """
    value = os.environ.get(VARIABLE, "").strip()
    if value not in ("", "keep", "system"):
        raise ArgumentError(
            VARIABLE, value, "must be 'keep' or 'system'", "unset it to keep freed memory inside vspipe only"
        )
    return value == "keep" or (not value and _in_vspipe())


def retain() -> None:
    """Retain freed memory from now on, if `wanted`; undo each call with one call of `restore`."""
    global _users, _changed
    with _lock:
        library = _glibc() if _users == 0 and wanted() else None
        if library is not None:
            if not library.mallopt(_MMAP_THRESHOLD, _LARGE):
                library.mallopt(_MMAP_THRESHOLD, _LARGEST_EVERYWHERE)
            library.mallopt(_TRIM_THRESHOLD, -1)  # never
            # Each heap retains what its thread freed, so memory would grow for thousands of frames. glibc reads this
            # once; it cannot be undone.
            library.mallopt(_ARENA_MAX, 1)
            _changed = True
        _users += 1


def restore() -> None:
    """Release free memory to the system; after the last user, restore glibc's initial settings."""
    global _users, _changed
    with _lock:
        _users -= 1
        library = _glibc() if _changed else None
        if library is None:
            return
        if _users == 0:
            _changed = False
            library.mallopt(_MMAP_THRESHOLD, _USUAL)
            library.mallopt(_TRIM_THRESHOLD, _USUAL)
        library.malloc_trim(0)


def trim() -> None:
    """Release free pages to the system if resident memory has grown; call it after each frame.

    Does nothing in processes whose settings may not be changed.
    """
    global _frames, _settled
    _frames += 1  # unlocked: an approximate count is enough
    if _frames % _CHECKED_EVERY:
        return
    # On a GPU nobody calls `retain`, and vspipe's memory grows all the same.
    if not _changed and (os.environ.get(VARIABLE, "").strip() == "system" or not _in_vspipe()):
        return
    library, resident = _glibc(), _resident()
    if library is None or resident is None or not _lock.acquire(blocking=False):
        return
    try:
        if _settled is None or resident < _settled:
            _settled = resident
        elif resident > _settled + _settled // 8 + _MOST_GROWTH:
            library.malloc_trim(0)
            _settled = None  # the pages that every frame needs come back first
    finally:
        _lock.release()


def _resident() -> int | None:
    """Bytes of memory that this process occupies, or None if unknown."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


@functools.cache
def _in_vspipe() -> bool:
    """Whether this process is VapourSynth's own vspipe."""
    try:
        return Path("/proc/self/exe").readlink().name.lower().startswith("vspipe")
    except OSError:
        return False


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc."""
    if platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    if hasattr(library, "mallinfo2"):  # since 2.33
        library.mallinfo2.restype = _Statistics
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
