"""Is this file the one that was published? Digests, the record kept beside a verified file, and what a checkpoint looks
like from outside.

Reads bytes only: it knows neither torch nor the network, and never unpickles anything.
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
from vsvfi.weights.archive import zip_fault

_CHUNK = 1 << 20
_LARGEST_HEADER = 100_000_000  # the format's own limit
_LONGEST_HEADER = (
    4 << 20
)  # tens of thousands of tensors; what JSON of this size becomes is some hundred megabytes at the most
_LONGEST_RECORD = 1 << 16
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Digests:
    """What identifies the content of a file: hex SHA-256, git's object id (sha1), bytes."""

    sha256: str
    git_blob: str
    size: int


def digests(path: Path) -> Digests:
    """Both digests of a file, in one read.

    Raises:
        OSError: it cannot be read.
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
    """Why a file is not the published one, or None where it is (as far as anything is known of that one).

    Of the SHA-256 its beginning is enough.
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
    """The digests of `path`, once it has proved to be the published file.

    Raises:
        DamagedWeightsError: it is not; names the file.
        OSError: it cannot be read.
    """
    found = digests(path)
    fault = mismatch(found, sha256=sha256, git_blob=git_blob, size=size)
    if fault is not None:
        raise DamagedWeightsError(path, fault)
    return found


@dataclass(frozen=True, slots=True)
class Record:
    """What a file was when it was last verified; while its size and times stand still, it is not hashed again."""

    found: Digests
    modified: int
    changed: int

    @classmethod
    def of(cls, path: Path, found: Digests) -> Record:
        """`found` with the times of `path` [ns].

        The change time is there because a program can set the modification time at will.
        """
        status = path.stat()
        return cls(found, status.st_mtime_ns, status.st_ctime_ns)

    def is_fresh(self, path: Path) -> bool:
        """Whether `path` has not been touched since."""
        return path.stat().st_size == self.found.size and self == Record.of(path, self.found)

    def write(self, place: Path) -> None:
        """Store at `place`, atomically. Where that fails the weights still work, and are hashed again at each start."""
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
            os.replace(draft, place)
        except OSError as error:
            _log.warning("%s cannot be written (%s): the weights will be hashed again at each start", place, error)
            draft.unlink(missing_ok=True)

    @classmethod
    def read(cls, place: Path) -> Record | None:
        """The record at `place`, or None where there is none that can be read."""
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
    """What holds the tensors."""

    SAFETENSORS = "safetensors"
    ZIP = "torch zip"
    PICKLE = "torch pickle"  # before torch 1.6; has no end mark that could be checked from outside


def container(path: Path) -> Container | str:
    """The container of a file by its content, never by its name; or, as text, why it is not a whole checkpoint.

    Raises:
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(512) if size else b""  # what has no size (/proc) may block or never end
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
    """Open a file for reading, without waiting for another program where it is a pipe or a device.

    Raises:
        OSError: it is not a regular file, or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return os.fdopen(descriptor, "rb")


def _safetensors_fault(header: bytes, length: int, size: int) -> str | None:
    """Why a safetensors file of `size` bytes cannot be whole, judged by its header."""
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
