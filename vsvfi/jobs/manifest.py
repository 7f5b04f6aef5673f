"""The manifest of a job: what it renders, and everything that its frames and its encoding depend on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vsvfi.errors import VsvfiError
from vsvfi.jobs.chunks import Chunk

VERSION = 2
"""Raised when the names or the meaning of stored values change."""

_ENCODING = ("output", "muxer", "chunk_muxer", "encoder", "crf", "preset", "more", "requests")

_SAMPLES = 64
_SAMPLE = 1 << 16


@dataclass(frozen=True, slots=True)
class Manifest:
    """A job, as it is stored.

    Attributes:
        identity: what must not change between two runs of the job, by name.
        work: the job of render.vpy without what depends on the chunk.
        facts: what the script found out about its clip, see `vsvfi.media.encoding.Facts`.
        encoding: the output, ffmpeg's names of its container and that of chunks, encoder and options.
        chunks: in order.
        speed: frames per second without encoding, measured when the job was planned.
    """

    identity: Mapping[str, Any]
    work: Mapping[str, Any]
    facts: Mapping[str, Any]
    encoding: Mapping[str, Any]
    chunks: tuple[Chunk, ...]
    speed: float

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"vsvfi_job": VERSION, **asdict(self)}

    @classmethod
    def parse(cls, raw: Any) -> Manifest:
        """Parse JSON values.

        Raises:
            ValueError: not a manifest of this version.
        """
        if not isinstance(raw, dict) or raw.get("vsvfi_job") != VERSION:
            raise ValueError("its manifest was not written by this version of vsvfi")
        try:
            chunks = tuple(Chunk(**chunk) for chunk in raw["chunks"])
            encoding = {name: raw["encoding"][name] for name in _ENCODING}
            return cls(raw["identity"], raw["work"], raw["facts"], encoding, chunks=chunks, speed=float(raw["speed"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"its manifest is incomplete ({error})") from None

    @property
    def first(self) -> int:
        """The first output frame."""
        return self.chunks[0].first

    @property
    def frames(self) -> int:
        """Number of output frames."""
        return sum(chunk.frames for chunk in self.chunks)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two identities, in words; None stands for unknown, which differs from nothing."""
    found = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [f"{name} {text}" for text in differences(old, new)]
        elif old != new and (None not in (old, new) or name not in before or name not in now):
            found.append(f"{name} was {_shown(old)} and is {_shown(new)}")
    return found


def same_version(planned: str, found: str) -> bool:
    """Return whether two versions are the same; builds for other devices, such as 2.10.0+cpu and 2.10.0+cu128, are."""
    return planned.partition("+")[0] == found.partition("+")[0]


def file_identity(path: Path) -> str:
    """Return size and digest of a file: whole, or of evenly spaced samples of a large one.

    Raises:
        VsvfiError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            places: Iterable[int] = range(0, size, _SAMPLE)
            if size > _SAMPLE * _SAMPLES:
                places = [number * (size - _SAMPLE) // (_SAMPLES - 1) for number in range(_SAMPLES)]
            for place in places:
                file.seek(place)
                digest.update(file.read(_SAMPLE))
    except OSError as error:
        raise VsvfiError(f"{path} cannot be read ({error.strerror or error}); check the file") from error
    return f"{size} bytes, {digest.hexdigest()[:32]}"


def files_identity(files: Sequence[Path]) -> str:
    """Return what changes if one of many files is added, removed or replaced: names, sizes, the content of some.

    Raises:
        VsvfiError: one cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in files:
            digest.update(f"{path.name} {path.stat().st_size}\n".encode(errors="surrogateescape"))
    except OSError as error:
        raise VsvfiError(f"{error.filename} cannot be read ({error.strerror or error}); check the file") from error
    for index in sorted({number * (len(files) - 1) // (_SAMPLES - 1) for number in range(_SAMPLES)}):
        digest.update(file_identity(files[index]).encode())
    return f"{len(files)} files, {digest.hexdigest()[:32]}"


def _shown(value: Any) -> str:
    text = "not given" if value is None else str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
