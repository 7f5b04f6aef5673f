"""Tune glibc's malloc so that memory freed by one frame is reused by the next; nothing happens with other C libraries.

By itself glibc gives large blocks back to the system as soon as they are free. A network asks for the same sizes again
in every frame, and the system hands them out page by page, each filled with zeros: a tenth of a small network's time.
Kept pages are given back when the last user has gone. All threads share one heap: a heap for each thread keeps free
memory of its own.

glibc before 2.38 does not use a freed aligned block for the next aligned one of the same size, and frames and tensors
are aligned: free memory grows with the number of frames, though nothing holds it. So pages of free memory are given
back whenever it has grown (`tidy`).

The settings hold for the whole process, so they are changed inside vspipe, and in other programs only where
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
"""Parameters of mallopt: how much may be free at the end of the heap, from which size on a block is mapped separately,
and how many heaps threads may be spread over.
"""
_LARGE, _LARGEST_EVERYWHERE = 1 << 30, 32 << 20
"""Of a block of the heap, in bytes: what newer versions take, and what all take."""
_USUAL = 128 << 10
"""glibc's own value of both at the start of a process."""

VARIABLE = "VSVFI_MALLOC"
"""The environment variable that decides: "keep" or "system"."""

_CHECKED_EVERY = 64  # frames
_MOST_GROWTH = 64 << 20
"""Bytes by which free memory may grow until its pages are given back, beside an eighth of what was free before."""

_lock = threading.RLock()  # a collection of garbage may end a session at any point
_users = 0
_changed = False
_frames = 0
_free: int | None = None


class _Statistics(ctypes.Structure):
    """struct mallinfo2."""

    _fields_ = [(f"field{index}", ctypes.c_size_t) for index in range(7)] + [
        (name, ctypes.c_size_t) for name in ("uordblks", "fordblks", "keepcost")
    ]


def wanted() -> bool:
    """Whether this process may be changed: inside vspipe, which renders and ends; elsewhere only if VSVFI_MALLOC says
    "keep".

    Raises:
        ArgumentError: VSVFI_MALLOC is neither "keep" nor "system".
    """
    value = os.environ.get(VARIABLE, "").strip()
    if value not in ("", "keep", "system"):
        raise ArgumentError(
            VARIABLE, value, "must be 'keep' or 'system'", "unset it to keep freed memory inside vspipe only"
        )
    return value == "keep" or (not value and _in_vspipe())


def keep() -> None:
    """Keep freed memory from now on, where that is wanted; every call is undone by one of `give_back`."""
    global _users, _changed
    with _lock:
        library = _glibc() if _users == 0 and wanted() else None
        if library is not None:
            if not library.mallopt(_MMAP_THRESHOLD, _LARGE):
                library.mallopt(_MMAP_THRESHOLD, _LARGEST_EVERYWHERE)
            library.mallopt(_TRIM_THRESHOLD, -1)  # never
            # Each heap keeps what its thread freed, so that memory would grow for thousands of frames. glibc reads this
            # once; it cannot be undone.
            library.mallopt(_ARENA_MAX, 1)
            _changed = True
        _users += 1


def give_back() -> None:
    """Give what is free back to the system; after the last user, do as glibc does at the start of a process."""
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


def tidy() -> None:
    """Call after each frame: gives pages of free memory back to the system where it has grown, in processes that may be
    changed.
    """
    global _frames, _free
    _frames += 1  # a count that threads race for is near enough
    if _frames % _CHECKED_EVERY or not (_changed or _in_vspipe()):
        return
    library = _glibc()
    if library is None or not hasattr(library, "mallinfo2") or not _lock.acquire(blocking=False):
        return
    try:
        free = library.mallinfo2().fordblks
        if _free is None or free < _free:
            _free = free
        elif free > _free + _free // 8 + _MOST_GROWTH:
            library.malloc_trim(0)
            _free = library.mallinfo2().fordblks  # pages that are given back still count as free
    finally:
        _lock.release()


def in_use() -> int | None:
    """Bytes that this process holds of malloc, or None where that cannot be told."""
    library = _glibc()
    return library.mallinfo2().uordblks if library is not None and hasattr(library, "mallinfo2") else None


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
