"""Memory on the CPU that one frame frees is kept for the next one, where the C library is glibc; elsewhere nothing happens here.

By itself glibc gives large blocks back to the system as soon as they are free. A network asks for the same sizes again in every frame, and the system hands
them out page by page, each filled with zeros: a tenth of a small network's time. Kept pages are given back when the last user has gone.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import threading

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt: how much may lie free at the end of the heap, and from which size on a block is asked of the system by itself."""
_LARGE, _LARGEST_EVERYWHERE = 1 << 30, 32 << 20
"""Of a block of the heap, in bytes: what newer versions take, and what all take."""
_USUAL = 128 << 10
"""glibc's own value of both at the start of a process."""

_lock = threading.Lock()
_users = 0


def keep() -> None:
    """Keep freed memory from now on; every call is undone by one of `give_back`."""
    global _users
    with _lock:
        _users += 1
        library = _glibc()
        if _users == 1 and library is not None:
            if not library.mallopt(_MMAP_THRESHOLD, _LARGE):
                library.mallopt(_MMAP_THRESHOLD, _LARGEST_EVERYWHERE)
            library.mallopt(_TRIM_THRESHOLD, -1)  # never


def give_back() -> None:
    """Give what lies free back to the system; after the last user, do as glibc does at the start of a process."""
    global _users
    with _lock:
        _users -= 1
        library = _glibc()
        if library is None:
            return
        if _users == 0:
            library.mallopt(_MMAP_THRESHOLD, _USUAL)
            library.mallopt(_TRIM_THRESHOLD, _USUAL)
        library.malloc_trim(0)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc."""
    if platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
