"""The output file of a render: claimed by one process at a time, under a temporary name until complete."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from vsvfi.cli.interrupts import shielded
from vsvfi.cli.marker import SCRATCH_PREFIX, Identity, Marker, identity, is_file, remove_file
from vsvfi.errors import VsvfiError
from vsvfi.files import replace

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})


class Output:
    """Context manager of a claimed output; removes all temporary files at exit.

    Args:
        output: the requested file; a symbolic link is resolved.
        sources: files that must not be the output under any name; the video first.
        overwrite: an existing output may be replaced.

    Attributes:
        given: the requested name.
        path: absolute path of the file, links resolved.
        scratch: a temporary folder.

    Raises:
        VsvfiError: on entering, if the output cannot be written, or another render is writing it.
    """

    path: Path
    scratch: Path

    def __init__(self, output: Path, sources: Sequence[Path] = (), *, overwrite: bool = False) -> None:
        self.given = str(output)
        self.shown = repr(self.given)
        self._sources = sources
        self._overwrite = overwrite
        self._stack = contextlib.ExitStack()
        self._marker: Marker | None = None
        self._partial: tuple[Path, Identity] | None = None

    def __enter__(self) -> Self:
        try:
            with shielded(), self._explained("cannot be written"):
                self.path = Path(os.path.realpath(self.given))
                self._check()
                self._marker = Marker(self.path, self.shown)
                self._stack.callback(self._marker.release)
                self._check()  # a render that has just finished may have created it
                self._make_scratch()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def begin(self) -> Path:
        """Create the empty temporary file beside the output, under an unused name."""
        assert self._marker is not None
        with shielded(), self._explained("cannot have its temporary file"):
            path, descriptor = self._create()
            try:
                self._partial = path, identity(os.fstat(descriptor))
                self._marker.remember(partial=path.name, partial_identity=self._partial[1])
            finally:
                os.close(descriptor)
        return path

    def publish(self) -> None:
        """Give the finished file its name.

        Raises:
            VsvfiError: another file appeared under this name; the finished file gets a different name then.
        """
        assert self._partial is not None
        partial, known = self._partial
        with shielded(), self._explained("cannot get its name"):
            if not is_file(partial, known):
                raise VsvfiError(
                    f"output {self.shown}, its temporary file {partial.name!r} was removed or replaced by another "
                    "program; render again"
                )
            _flush(partial)
            if self._overwrite:
                replace(partial, self.path)
            elif not rename_new(partial, self.path):
                kept = _rename_free(partial, self.path)
                raise VsvfiError(
                    f"output {self.shown} was created by another program during the render and is left as it is; the "
                    f"video is in {str(kept)!r}"
                )
            self._partial = None

    def _check(self) -> None:
        """Raise if the output is a source, is not a file, or exists and may not be replaced."""
        if not self.path.parent.is_dir():
            raise VsvfiError(
                f"output {self.shown}, the folder {str(self.path.parent)!r} does not exist; create it first"
            )
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise VsvfiError(f"output {self.shown} is a folder; give the name of a file in it")
        if not stat.S_ISREG(found.st_mode):
            raise VsvfiError(f"output {self.shown} is not a regular file; choose another name")
        for source in self._sources:
            if os.path.samestat(found, os.stat(source)):
                what = "the source itself" if source == self._sources[0] else "a file that the render reads"
                raise VsvfiError(f"output {self.shown} is {what}; choose another name")
        if not self._overwrite:
            raise VsvfiError(f"output {self.shown} exists; choose another name or pass --overwrite")

    def _make_scratch(self) -> None:
        assert self._marker is not None
        try:
            self.scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX)).absolute()
        except OSError as error:
            raise VsvfiError(
                f"the folder for temporary files cannot be used ({reason(error)}); set TMPDIR to a folder that can be "
                "written and has free space"
            ) from error
        self._stack.callback(shutil.rmtree, self.scratch, ignore_errors=True)
        self._marker.remember(scratch=str(self.scratch), scratch_identity=identity(os.lstat(self.scratch)))

    def _create(self) -> tuple[Path, int]:
        """Create the temporary file exclusively; its usual name may be taken, or too long."""
        token = secrets.token_hex(4)
        names = (f"{self.path.name}.partial", f"{self.path.name}.{token}.partial", f".vsvfi-{token}.partial")
        for name in names:
            path = self.path.with_name(name)
            try:
                return path, os.open(path, _NEW, 0o666)
            except OSError as error:
                if name == names[-1] or error.errno not in (errno.EEXIST, errno.ENAMETOOLONG, errno.EISDIR):
                    raise
        raise AssertionError("unreachable")

    def _release(self) -> None:
        """Remove everything temporary, the marker last."""
        with shielded():
            if self._partial is not None:
                remove_file(*self._partial)
                self._partial = None
            self._stack.close()

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Convert errors of the operating system to messages that name the output."""
        try:
            yield
        except OSError as error:
            raise VsvfiError(f"output {self.shown} {what} ({reason(error)}); {remedy(error)}") from error


def rename_new(source: Path, target: Path) -> bool:
    """Rename a file without replacing another one.

    Returns:
        False if the new name exists.
    """
    if os.name == "nt":
        try:
            os.rename(source, target)
        except FileExistsError:
            return False
        return True
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: an empty file of ours reserves the name
        try:
            os.close(os.open(target, _NEW, 0o666))
        except FileExistsError:
            return False
        replace(source, target)
        return True
    source.unlink()
    return True


def reason(error: OSError) -> str:
    """Return the operating system's message, and the file it concerns."""
    text = error.strerror or str(error)
    return f"{text}: {os.fsdecode(error.filename)!r}" if isinstance(error.filename, str | bytes) else text


def remedy(error: OSError) -> str:
    """Return the remedy for an error of the operating system."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return "free some space, or choose another folder"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "choose a folder that you may write to"
        case errno.ENAMETOOLONG:
            return "choose a shorter name"
        case _:
            return "choose another name or folder"


def _rename_free(source: Path, target: Path) -> Path:
    """Rename to the first free name like `film.1.mkv`."""
    number = 1
    while not rename_new(source, free := target.with_name(f"{target.stem}.{number}{target.suffix}")):
        number += 1
    return free


def _flush(path: Path) -> None:
    """Flush a file to disk, so that its final name never refers to an incomplete file.

    A full network disk is reported only here.
    """
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
