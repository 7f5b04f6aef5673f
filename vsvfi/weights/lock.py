"""A lock between processes that want to download the same file; the others wait with a message and a timeout.

The operating system releases the lock when its process ends. Files that the holder writes under `watched` show that it
is making progress.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from vsvfi.weights.limits import SourceError

_log = logging.getLogger(__name__)

PATIENCE = 300.0
"""Seconds without progress of the holder after which a waiter gives up; longer than any download may stall."""

_POLL = 0.5  # seconds


@contextlib.contextmanager
def hold(path: Path, watched: Path) -> Iterator[None]:
    """Hold the lock `path` while active; wait for another process while it makes progress.

    Args:
        path: the lock file; its folder exists.
        watched: the folder where the holder writes what it downloads.

    Raises:
        SourceError: another process holds the lock and makes no progress.
    """
    record = path.with_name(path.name + ".holder")
    lock = _acquire(path, record, watched)
    try:
        with contextlib.suppress(OSError):  # only for messages
            record.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            record.unlink(missing_ok=True)
        lock.release()


def _acquire(path: Path, record: Path, watched: Path) -> BaseFileLock:
    lock: BaseFileLock = FileLock(str(path))
    seen, since, logged = None, time.monotonic(), False
    while True:
        try:
            lock.acquire(timeout=_POLL if logged else 0, poll_interval=_POLL / 5)
            return lock
        # A file system without locks: the file itself is the lock, and remains if its holder dies
        except NotImplementedError:
            lock = SoftFileLock(str(path))
            continue
        except Timeout:
            pass
        holder = _holder(record)
        if isinstance(lock, SoftFileLock) and _is_gone(holder):
            path.unlink(missing_ok=True)
            continue
        if not logged and sys.stderr is not None and _log.isEnabledFor(logging.WARNING):
            print(
                f"vsvfi: waiting for {_name(holder)}, which downloads the same file ({path})",
                file=sys.stderr,
                flush=True,
            )
        logged = True
        activity = _activity(watched)
        if activity != seen:
            seen, since = activity, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            raise SourceError(
                f"{_name(holder)} holds {path} and has not got on for {PATIENCE:.0f} s; end it and try again"
            )


def _activity(folder: Path) -> tuple[int, int]:
    """A value that changes when a file under `folder` is written: total size and latest modification time."""
    size = latest = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # deleted meanwhile
                status = os.lstat(os.path.join(place, name))
                size, latest = size + status.st_size, max(latest, status.st_mtime_ns)
    return size, latest


def _holder(record: Path) -> tuple[int, str] | None:
    """Process and host of the lock's holder, if recorded."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        return int(content["pid"]), str(content["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _name(holder: tuple[int, str] | None) -> str:
    if holder is None:
        return "another process"
    pid, host = holder
    return f"process {pid}" + ("" if host == platform.node() else f" on {host}")


def _is_gone(holder: tuple[int, str] | None) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    if holder is None or holder[1] != platform.node() or os.name == "nt":
        return False
    try:
        os.kill(holder[0], 0)
    except ProcessLookupError:
        return True
    except OSError:  # alive, but of another user
        return False
    return False
