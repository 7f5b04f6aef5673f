"""Verify weight files: digests, records of verified files, and the container format of checkpoints.

Reads bytes only, without torch or the network, and never unpickles anything.
"""

from __future__ import annotations

import enum
import errno
import hashlib
import json
import logging
import os
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vsvfi.errors import DamagedWeightsError
from vsvfi.files import replace
from vsvfi.weights.archive import zip_fault

_CHUNK = 1 << 20
_LARGEST_HEADER = 100_000_000  # the format's own limit
# Tens of thousands of tensors; what JSON of this size becomes is some hundred megabytes at the most
_LONGEST_HEADER = 4 << 20
_LONGEST_RECORD = 1 << 16
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of a file's content: hex SHA-256, git's object id (SHA-1), and its size in bytes."""

    sha256: str
    git_blob: str
    size: int


def digests(path: Path) -> Digests:
    """Compute both digests of a file in one read.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            blob.update(chunk)
    return Digests(sha256.hexdigest(), blob.hexdigest(), size)


def mismatch(
    found: Digests, *, sha256: str | None = None, git_blob: str | None = None, size: int | None = None
) -> str | None:
    """Why a file is not the published one, or None if it matches everything known about that one.

    `sha256` may be a prefix of the digest.
    """
    if size is not None and found.size != size:
        return f"it has {found.size} bytes, the published file has {size}"
    if sha256 is not None and not found.sha256.startswith(sha256.lower()):
        whole = "is" if len(sha256) == len(found.sha256) else "begins with"
        return f"its SHA-256 is {found.sha256}, that of the published file {whole} {sha256.lower()}"
    if git_blob is not None and found.git_blob != git_blob.lower():
        return f"its git object id is {found.git_blob}, that of the published file is {git_blob.lower()}"
    return None


def verify(path: Path, sha256: str | None = None, git_blob: str | None = None, size: int | None = None) -> Digests:
    """Verify that `path` is the published file, and return its digests.

    Raises:
        DamagedWeightsError: it is not; names the file.
        OSError: the file cannot be read.
    """
    found = digests(path)
    fault = mismatch(found, sha256=sha256, git_blob=git_blob, size=size)
    if fault is not None:
        raise DamagedWeightsError(path, fault)
    return found


@dataclass(frozen=True, slots=True)
class Record:
    """State of a file when last verified; while its size and times are unchanged, it is not hashed again."""

    found: Digests
    modified: int
    changed: int

    @classmethod
    def of(cls, path: Path, found: Digests) -> Record:
        """Create a record of `found` with the times of `path` in nanoseconds.

        Includes the change time, since programs can set the modification time.
        """
        status = path.stat()
        return cls(found, status.st_mtime_ns, status.st_ctime_ns)

    def is_fresh(self, path: Path) -> bool:
        """Whether `path` is unchanged since."""
        return path.stat().st_size == self.found.size and self == Record.of(path, self.found)

    def write(self, place: Path) -> None:
        """Store at `place`, atomically. If that fails, the weights are hashed again at each start."""
        content = {
            "sha256": self.found.sha256,
            "git_blob": self.found.git_blob,
            "size": self.found.size,
            "modified_ns": self.modified,
            "changed_ns": self.changed,
        }
        draft = place.with_name(f"{place.name}.{uuid.uuid4().hex[:8]}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(content), encoding="utf-8")
            replace(draft, place)
        except OSError as error:
            _log.warning("%s cannot be written (%s): the weights will be hashed again at each start", place, error)
            draft.unlink(missing_ok=True)

    @classmethod
    def read(cls, place: Path) -> Record | None:
        """Read the record at `place`, or None if it is missing or unreadable."""
        try:
            with place.open("rb") as file:
                content = json.loads(file.read(_LONGEST_RECORD))
            found = Digests(str(content["sha256"]), str(content["git_blob"]), int(content["size"]))
            return cls(found, int(content["modified_ns"]), int(content["changed_ns"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            _log.warning("%s cannot be read (%r): the weights are verified as if for the first time", place, error)
            return None


class Container(enum.Enum):
    """Container format of a checkpoint."""

    SAFETENSORS = "safetensors"
    ZIP = "torch zip"
    PICKLE = "torch pickle"  # before torch 1.6; has no end mark that could be checked from outside


def container(path: Path) -> Container | str:
    """Detect the container of a file by content, not by name; or return why it is not a complete checkpoint.

    Raises:
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(512) if size else b""  # files without a size (/proc) may block or never end
        if start.startswith(b"PK\x03\x04"):
            return zip_fault(file) or Container.ZIP
        if len(start) > 2 and start[0] == 0x80 and 2 <= start[1] <= 5:
            return Container.PICKLE
        if start[8:9] == b"{" and (length := int.from_bytes(start[:8], "little")) <= _LARGEST_HEADER:
            if _LONGEST_HEADER < length <= size:
                return f"its safetensors header has {length} bytes, more than any checkpoint's"
            file.seek(8)
            return _safetensors_fault(file.read(min(length, size)), length, size) or Container.SAFETENSORS
    if not start:
        return "it is empty"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, not weights"
    if start.startswith(b"version https://git-lfs"):
        return "it is a git-lfs pointer, not the file that it points to"
    return f"it starts with {start[:8]!r} and is neither safetensors nor a torch checkpoint"


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, without blocking on pipes or devices.

    Raises:
        OSError: it is not a regular file, or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return os.fdopen(descriptor, "rb")


def _safetensors_fault(header: bytes, length: int, size: int) -> str | None:
    """Why a safetensors file of `size` bytes is incomplete or invalid, by its header; else None."""
    if len(header) < length:
        return "its safetensors header ends early: truncated"
    try:
        entries = json.loads(header)
        needed = (
            8
            + length
            + max((entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"), default=0)
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return "its safetensors header cannot be read"
    return (
        None
        if needed == size
        else f"it has {size} bytes, its safetensors header asks for {needed}: truncated or altered"
    )
