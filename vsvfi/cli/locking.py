"""An exclusive lock on an open file that the operating system releases when the process ends, however it ends."""

from __future__ import annotations

import errno
import sys

_FAR = 1 << 30
"""Offset of the byte that Windows locks: mandatory there, so beyond the contents, which others may read."""

_UNSUPPORTED = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL})


def try_lock(descriptor: int) -> bool | None:
    """Lock a file without waiting.

    Returns:
        True if this process holds it now, False if another one does, None if the file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt
        import os

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise
    return True
