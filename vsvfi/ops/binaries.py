"""Compiled kernels on disk, under the user's cache: read back whole or not at all, written atomically, never
required."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger(__name__)

_DIGEST = hashlib.sha256().digest_size


class BinaryCache:
    """A folder of binaries, each under the hash of what it was made from.

    Args:
        folder: made when the first binary is stored; None where there is none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, made_from: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        """The binary made from these facts: from disk, or from `make` and then stored.

        An entry that is damaged is made again.

        Args:
            made_from: everything that the binary depends on.
            make: makes it; what it raises is raised here.
        """
        if self._folder is None:
            return make()
        path = self._folder / f"{hashlib.sha256(repr(made_from).encode()).hexdigest()}.bin"
        found = _read(path)
        if found is None:
            found = make()
            _write(path, found)
        return found


def _write(path: Path, binary: bytes) -> None:
    """Store an entry in one step. Where that fails, the next process compiles again, and nothing else happens."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem[:16], suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(binary).digest() + binary)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        reason = error.strerror or error
        _log.info("compiled kernels cannot be stored in %s (%s): each process compiles them anew", path.parent, reason)


def _read(path: Path) -> bytes | None:
    """The binary of an entry, or None where there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    binary = content[_DIGEST:]
    return binary if binary and hashlib.sha256(binary).digest() == content[:_DIGEST] else None
