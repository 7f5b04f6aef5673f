"""Per-item results on disk: one JSON line each, read when a run is resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from vsvfi.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one item.

    Attributes:
        item, group: as in `Item`.
        targets: names, in order.
        scores: for each target, form of metric -> value.
        seconds: for predicting all targets.
    """

    item: str
    group: str
    targets: tuple[str, ...]
    scores: tuple[Mapping[str, float], ...]
    seconds: float


class Results:
    """The result file of one run; `done` holds its existing results.

    Args:
        folder: created if necessary.
        title: start of the file's name; its end is derived from `run`, so that other settings use another file.
        run: everything that determines a score.
    """

    def __init__(self, folder: Path, title: str, run: Mapping[str, object]) -> None:
        header = json.dumps({"run": run}, sort_keys=True, default=str)
        self.path = folder / f"{title}-{hashlib.sha256(header.encode()).hexdigest()[:10]}.jsonl"
        self._lock = FileLock(self.path.with_suffix(".lock"), timeout=0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            remedy = "wait for it, or pass another folder"
            raise ArgumentError("results", str(self.path), "is being written by another run", remedy) from None
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            self.done = _read(self.path, header)
            self._file: IO[str] = self.path.open("a", encoding="utf-8")
        except OSError as error:
            self._lock.release()
            raise _unusable(folder, error) from error
        except BaseException:
            self._lock.release()
            raise
        if not self._file.tell():
            self._write(header)

    def add(self, scored: Scored) -> None:
        """Store one item's scores; they are on disk when this returns."""
        self.done[scored.item] = scored
        self._write(json.dumps(asdict(scored)))

    def close(self) -> None:
        """Close the file for other runs."""
        self._file.close()
        self._lock.release()

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _unusable(folder: Path, error: OSError) -> ArgumentError:
    remedy = "pass a folder that can be written to"
    return ArgumentError("results", str(folder), f"cannot be used ({error.strerror})", remedy)


def _read(path: Path, header: str) -> dict[str, Scored]:
    """Read a file, and remove a truncated last line, so that the next one starts on a new line."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    lines = whole.decode("utf-8").splitlines()
    if lines and lines[0] != header:
        raise ArgumentError("results", str(path), "begins with other settings", "remove it, or pass another folder")
    done = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            scored = _scored(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            rule = f"line {number} is no result"
            raise ArgumentError("results", str(path), rule, "remove it, or pass another folder") from None
        done[scored.item] = scored
    return done


def _scored(record: Mapping[str, Any]) -> Scored:
    scores = tuple({str(form): float(value) for form, value in target.items()} for target in record["scores"])
    names = tuple(str(name) for name in record["targets"])
    return Scored(str(record["item"]), str(record["group"]), names, scores, float(record["seconds"]))
