"""The folder of a job: manifest, one state per chunk, finished chunks, logs, and a lock.

Every file is written under another name, flushed and renamed, so that none is ever incomplete under its own name. A
chunk is done if its state is "done" and its file has the size stated there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from vsvfi.errors import VsvfiError
from vsvfi.files import replace
from vsvfi.jobs.chunks import Chunk
from vsvfi.jobs.manifest import Manifest

SUFFIX = ".vsvfi-job"
_MANIFEST, _LOCK, _RESULT = "manifest.json", "lock", "result.json"
_CHUNKS, _LOGS = "chunks", "logs"
_OURS = re.compile(
    r"manifest\.json|result\.json|lock|source(_weights|_filter|_image\d+)?(\.\w+)?|index\.lwi(\.bs.*)?|[\w.]+\.json\.\d+\.part"
    r"|chunks/\d{5}\.\w+(\.\w+)?(\.partial)?|chunks/\.\d{5}\.\w+\.vsvfi-lock|chunks/\.vsvfi-\w+\.partial"
    r"|chunks/\d{5}\.json\.\d+\.part|logs/[\w.@+-]+\.log"
)
"""Names of the files that a job makes; nothing else in its folder is ever removed."""


@dataclass(frozen=True, slots=True)
class State:
    """The state of a chunk that was tried.

    Attributes:
        state: "done" or "failed".
        frames, bytes, digest: of its file, where it is done.
        seconds: that it took.
        worker: who rendered it.
        tries: how often it was tried.
        error: why it failed.
    """

    state: Literal["done", "failed"]
    frames: int = 0
    bytes: int = 0
    digest: str = ""
    seconds: float = 0.0
    worker: str = ""
    tries: int = 1
    error: str = ""


class JobFolder:
    """A job's folder.

    Args:
        path: of the folder; `create()` makes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))

    def create(self) -> None:
        """Make the folder, or take an empty one or one of a job.

        Raises:
            VsvfiError: it holds something else, or cannot be made.
        """
        try:
            if self.path.is_dir() and not (self.path / _MANIFEST).exists() and self._foreign():
                raise VsvfiError(
                    f"job {str(self.path)!r} is a folder that contains other files; use an empty or a new folder"
                )
            (self.path / _CHUNKS).mkdir(parents=True, exist_ok=True)
            (self.path / _LOGS).mkdir(exist_ok=True)
        except OSError as error:
            raise VsvfiError(
                f"job {str(self.path)!r} cannot be created ({error.strerror or error}); choose another folder with "
                "--job, or --no-job"
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the job; the system releases it however this process ends.

        Raises:
            VsvfiError: another process holds it.
        """
        lock = FileLock(str(self.path / _LOCK), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise VsvfiError(
                f"job {str(self.path)!r} is in use by another render; wait for it, or add workers to it with --workers"
            ) from None
        except OSError as error:
            raise VsvfiError(f"job {str(self.path)!r} cannot be locked ({error}); check the folder") from error
        try:
            yield
        finally:
            lock.release()

    def manifest(self) -> Manifest | None:
        """Return the job's manifest, None if it has none yet.

        Raises:
            VsvfiError: it is damaged, or of another version.
        """
        raw = _read(self.path / _MANIFEST)
        if raw is None:
            return None
        try:
            return Manifest.parse(raw)
        except ValueError as error:
            raise VsvfiError(
                f"job {str(self.path)!r} cannot be continued: {error}; render it again with --restart"
            ) from None

    def store(self, manifest: Manifest) -> None:
        """Store the manifest."""
        write_json(self.path / _MANIFEST, manifest.as_json())

    def chunk_file(self, chunk: Chunk, muxer: str) -> Path:
        """Return the path of a chunk's video."""
        return self.path / _CHUNKS / f"{chunk.name}{ENDINGS[muxer]}"

    def state(self, chunk: Chunk) -> State | None:
        """Return the stored state of a chunk, None if it has none."""
        raw = _read(self.path / _CHUNKS / f"{chunk.name}.json")
        try:
            return None if raw is None else State(**raw)
        except TypeError:
            return None

    def done(self, chunk: Chunk, muxer: str) -> State | None:
        """Return the state of a chunk if it is done and its file is complete, else None."""
        state = self.state(chunk)
        if state is None or state.state != "done" or state.frames != chunk.frames:
            return None
        try:
            size = os.stat(self.chunk_file(chunk, muxer)).st_size
        except OSError:
            return None
        return state if size == state.bytes else None

    def discard_damaged(self, chunks: Sequence[Chunk], muxer: str) -> list[Chunk]:
        """Remove finished chunks whose file is not the one that was verified any more, and return them."""
        found = []
        for chunk in chunks:
            state, path = self.done(chunk, muxer), self.chunk_file(chunk, muxer)
            with contextlib.suppress(OSError):
                if state is not None and state.digest != file_digest(path):
                    path.unlink()
                    found.append(chunk)
        return found

    def set_state(self, chunk: Chunk, state: State) -> None:
        """Store the state of a chunk."""
        write_json(self.path / _CHUNKS / f"{chunk.name}.json", asdict(state))

    def log(self, worker: str) -> Path:
        """Return the path of a worker's log."""
        return self.path / _LOGS / f"{re.sub(r'[^A-Za-z0-9.@+-]', '_', worker)}.log"

    def result(self) -> Mapping[str, Any] | None:
        """Return what `set_result` stored, None before it."""
        raw = _read(self.path / _RESULT)
        return raw if isinstance(raw, dict) else None

    def set_result(self, result: Mapping[str, Any]) -> None:
        """Store which file is about to get the output's name."""
        write_json(self.path / _RESULT, result)

    def forget(self) -> None:
        """Remove the plan and all chunks, but not the folder and its lock."""
        for name in self._files():
            if _OURS.fullmatch(name) and name != _LOCK:
                with contextlib.suppress(OSError):
                    (self.path / name).unlink()

    def remove(self) -> None:
        """Remove everything that the job made, and its folders unless they hold something else."""
        self.forget()
        for name in (_LOCK, _CHUNKS, _LOGS, ""):
            path = self.path / name
            with contextlib.suppress(OSError):
                path.unlink() if name == _LOCK else path.rmdir()

    def _foreign(self) -> list[str]:
        return [name for name in self._files() if not _OURS.fullmatch(name)]

    def _files(self) -> list[str]:
        """Return the files in the folder and its own subfolders, as names relative to it."""
        found = []
        for folder in ("", _CHUNKS, _LOGS):
            with contextlib.suppress(OSError), os.scandir(self.path / folder) as entries:
                for entry in entries:
                    if not (folder == "" and entry.name in (_CHUNKS, _LOGS) and entry.is_dir(follow_symlinks=False)):
                        found.append(f"{folder}/{entry.name}" if folder else entry.name)
        return found


ENDINGS = {"matroska": ".mkv", "mp4": ".mp4", "mov": ".mov"}
"""Containers of chunks."""


def chunk_muxer(muxer: str) -> str:
    """Return the container of the chunks of an output: its own where it states times and colours, else Matroska."""
    return muxer if muxer in ENDINGS else "matroska"


def file_digest(path: Path) -> str:
    """Return the digest of a whole file.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def write_json(path: Path, value: Any) -> None:
    """Write a file atomically, and flush it to disk.

    Raises:
        VsvfiError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise VsvfiError(
            f"{str(path)!r} cannot be written ({error.strerror or error}); free some space, then run the same command "
            "to continue"
        ) from error


def _read(path: Path) -> Any:
    """Return the JSON value in a file, None if there is none or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
