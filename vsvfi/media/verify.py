"""Opens a finished file again and compares it with what was planned, before it gets its name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsvfi.errors import VsvfiError
from vsvfi.media.probe import first_video, open_container
from vsvfi.media.pyav import pyav


@dataclass(frozen=True, slots=True)
class Expected:
    """What a finished file must hold.

    Attributes:
        frames: number of frames of its video.
        rate: their rate.
        audio, subtitles: number of streams.
    """

    frames: int
    rate: Fraction
    audio: int = 0
    subtitles: int = 0


def verify(path: Path, expected: Expected) -> None:
    """Read every packet of a file, and decode its first frame.

    Raises:
        VsvfiError: it cannot be read, frames or streams are missing, or its duration is another.
    """
    av = pyav()
    try:
        with open_container(av, path) as container:
            times, counts = _read(container, path)
    except (OSError, ValueError) as error:  # PyAV's errors are such
        raise _wrong(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(times) != expected.frames:
        raise _wrong(f"holds {len(times)} of {expected.frames} frames")
    for kind, planned in (("audio", expected.audio), ("subtitle", expected.subtitles)):
        if counts[kind] != planned:
            raise _wrong(f"holds {counts[kind]} of {planned} {kind} streams")
    lasts, wanted = times[-1] - times[0], (expected.frames - 1) / expected.rate
    if abs(lasts - wanted) > max(2 / expected.rate, wanted / 1000):
        raise _wrong(f"shows its frames over {float(lasts):.3f} s instead of {float(wanted):.3f} s")


def _read(container: Any, path: Path) -> tuple[list[Fraction], Counter[str]]:
    """Times of the video's packets, sorted, and the number of streams by kind."""
    video = first_video(container, path)
    number, base = video.index, Fraction(video.time_base)
    counts = Counter(str(stream.type) for stream in container.streams)
    stamps: list[Fraction] = []
    decoded = False
    for packet in container.demux():
        if packet.stream.index != number:
            continue
        decoded = decoded or bool(packet.decode())
        stamp = packet.pts if packet.pts is not None else packet.dts
        if packet.size:
            stamps.append(Fraction(stamp or 0) * base)
    if stamps and not decoded:
        raise ValueError("no frame of it can be decoded")
    return sorted(stamps), counts


def _wrong(what: str) -> VsvfiError:
    return VsvfiError(f"the finished file {what}; nothing is kept. Check the disk, the encoder and its options")
