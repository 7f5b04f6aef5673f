"""The marker of a running render: locked while it runs, and a record of what it has created.

The operating system releases the lock however the process ends, so an unlocked marker belongs to a killed render, and
what its record names (by device and inode, not by name alone) may be removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import time
from pathlib import Path
from typing import Any

from vsvfi.cli.locking import try_lock
from vsvfi.errors import VsvfiError

SCRATCH_PREFIX = "vsvfi-render-"
_OWNER = "vsvfi render"
_LONGEST_RECORD = 1 << 16
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

type Identity = tuple[int, int]
"""Device and inode: which file it is, whatever its name."""


def identity(found: os.stat_result) -> Identity:
    """Return the identity of a file, unique among all existing ones."""
    return found.st_dev, found.st_ino


def is_file(path: Path, known: object) -> bool:
    """Return whether there is a regular file under this name, and the one with this identity."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and list(identity(found)) == list(
        known if isinstance(known, list | tuple) else ()
    )


class Marker:
    """The locked marker of one output.

    Args:
        target: the output, its folder existing and its links resolved.
        shown: the output's name in messages.

    Raises:
        VsvfiError: another render writes this output, or the marker's name is taken by another file.
        OSError: the folder cannot be written.
    """

    def __init__(self, target: Path, shown: str) -> None:
        self._path = target.with_name(_marker_name(target.name))
        self._descriptor = -1
        self._record: dict[str, Any] = {}
        before: dict[str, Any] = {}
        while self._descriptor < 0:
            descriptor = os.open(self._path, _FLAGS, 0o666)
            try:
                before = self._owned(descriptor, shown)
                if is_file(self._path, identity(os.fstat(descriptor))):  # else its owner removed it before our lock
                    self._descriptor = descriptor
            finally:
                if self._descriptor < 0:
                    os.close(descriptor)
        _remove_leftovers(target, before)
        try:
            self.remember(owner=_OWNER, pid=os.getpid(), started=time.strftime("%Y-%m-%d %H:%M:%S"))
        except BaseException:
            self.release()
            raise

    def remember(self, **facts: Any) -> None:
        """Record a file that the next render may remove if this one is killed."""
        self._record.update(facts)
        data = json.dumps(self._record).encode()
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        if os.write(self._descriptor, data) < len(data):
            raise OSError(28, os.strerror(28), str(self._path))
        os.ftruncate(self._descriptor, len(data))

    def release(self) -> None:
        """Remove the marker and its lock."""
        if os.name == "nt":  # an open file cannot be removed there
            os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._path.unlink()
        if os.name != "nt":
            os.close(self._descriptor)

    def _owned(self, descriptor: int, shown: str) -> dict[str, Any]:
        """Lock an opened marker; returns the record of the killed render that left it."""
        locked = try_lock(descriptor)
        record = _read_record(descriptor)
        if record is None:
            raise VsvfiError(
                f"output {shown} needs {str(self._path)!r} for its lock, and that is not a lock of vsvfi; rename it"
            )
        if locked is False or (locked is None and record):
            where = f"process {record.get('pid', '?')}, since {record.get('started', '?')}"
            unsure = "" if locked is False else f" (or delete {str(self._path)!r} if no render runs)"
            raise VsvfiError(
                f"output {shown} is being written by another render ({where}); wait for it{unsure}, or choose another "
                "name"
            )
        return record


def _marker_name(name: str) -> str:
    """Hidden and recognisable; hashed where a file system's limit of 255 bytes would be exceeded."""
    if len(os.fsencode(name)) > 200:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return f".{name}.vsvfi-lock"


def _read_record(descriptor: int) -> dict[str, Any] | None:
    """Return a marker's record, {} if it is empty or truncated, None if it is not a marker of vsvfi."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    text = os.read(descriptor, _LONGEST_RECORD).decode("utf-8", "replace")
    if text and not text.startswith(json.dumps({"owner": _OWNER})[:-1]):
        return None
    try:
        record, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else None


def _remove_leftovers(target: Path, record: dict[str, Any]) -> None:
    """Remove the temporary file and folder that a killed render recorded, if they are still the same ones."""
    name, folder = record.get("partial"), record.get("scratch")
    if isinstance(name, str) and Path(name).name == name:
        remove_file(target.with_name(name), record.get("partial_identity"))
    if isinstance(folder, str) and Path(folder).name.startswith(SCRATCH_PREFIX):
        with contextlib.suppress(OSError):
            found = os.lstat(folder)
            if stat.S_ISDIR(found.st_mode) and list(identity(found)) == record.get("scratch_identity"):
                shutil.rmtree(folder, ignore_errors=True)


def remove_file(path: Path, known: object) -> None:
    """Remove a file if it is still the one with this identity."""
    if is_file(path, known):
        with contextlib.suppress(OSError):
            path.unlink()
