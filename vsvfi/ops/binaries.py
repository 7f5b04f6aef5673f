"""Cache compiled kernels on disk in the user's cache folder.

Entries are checksummed and written atomically; a missing or damaged entry is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from vsvfi.files import replace

_log = logging.getLogger(__name__)

_DIGEST = hashlib.sha256().digest_size


class BinaryCache:
    """A folder of binaries, each named by the hash of its inputs.

    Args:
        folder: created when the first binary is stored; None disables the cache.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, made_from: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        """Return the binary for these inputs from disk, else from `make`, and store it.

        A damaged entry is replaced.

        Args:
            made_from: everything that the binary depends on.
            make: compiles the binary; its exceptions are raised here.
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
    """Store an entry atomically. A failure is only logged; the next process compiles again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem[:16], suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(binary).digest() + binary)
            replace(Path(name), path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        reason = error.strerror or error
        _log.info("compiled kernels cannot be stored in %s (%s): each process compiles them anew", path.parent, reason)


def _read(path: Path) -> bytes | None:
    """Read the binary of an entry, or None if it is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    binary = content[_DIGEST:]
    return binary if binary and hashlib.sha256(binary).digest() == content[:_DIGEST] else None
