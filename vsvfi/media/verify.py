"""Read a finished file and compare it with what was planned, before it gets its name."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsvfi.errors import VsvfiError
from vsvfi.media.probe import first_video, is_cover, open_container
from vsvfi.media.pyav import pyav

_SLACK = Fraction(2)
"""Seconds by which audio may end early: sources have gaps and damaged ends."""

_ROUNDED = Fraction(2, 1000)
"""Matroska's times are milliseconds; those of two frames are rounded, and may be moved once more."""

_SILENCE = (Fraction(0), Fraction(0))

_KINDS = {"audio": "audio", "subtitle": "subtitle", "attachment": "attachment", "cover": "cover art"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a finished file must contain.

    Attributes:
        frames: number of frames of its video.
        rate: their rate.
        audio, subtitles, attachments, covers: number of streams.
        audio_durations: duration of each audio stream in seconds, None if unknown.
        times: start of each frame in seconds, from any zero; empty at a constant rate.
    """

    frames: int
    rate: Fraction
    audio: int = 0
    subtitles: int = 0
    attachments: int = 0
    covers: int = 0
    audio_durations: tuple[Fraction | None, ...] = ()
    times: tuple[Fraction, ...] = ()


@dataclass(slots=True)
class _Found:
    """What was found in the packets of a file; times in seconds."""

    stamps: list[Fraction] = field(default_factory=list)
    decoded: bool = False
    last_key: Fraction | None = None
    after_key: int = 0
    audio_spans: dict[int, tuple[Fraction, Fraction]] = field(default_factory=dict)


def verify(path: Path, expected: Expected, *, whole: bool = False) -> None:
    """Read every packet of a file, and decode its first frame and its last group of pictures, or all frames.

    Args:
        path: the file.
        expected: what it must contain.
        whole: decode all frames.

    Raises:
        VsvfiError: it cannot be read, frames or streams are missing, or its duration differs.
    """
    av = pyav()
    try:
        with open_container(av, path) as container:
            video = first_video(container, path)
            audio = [stream.index for stream in container.streams.audio]
            counts = Counter("cover" if is_cover(stream) else str(stream.type) for stream in container.streams)
            found = _read(container, video, audio)
        if found.stamps and not found.decoded:
            raise ValueError("no frame of it can be decoded")
    except (OSError, ValueError) as error:  # PyAV's errors are such
        raise _wrong(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    _check_streams(counts, expected)
    _check_times(sorted(found.stamps), expected)
    _check_audio([found.audio_spans.get(index, _SILENCE) for index in audio], expected)
    planned = len(found.stamps) if whole else found.after_key
    try:
        shown = _decode_all(path) if whole else _decode_end(path, found.last_key, planned)
    except (OSError, ValueError) as error:
        where = "" if whole else " at its end"
        raise _wrong(f"cannot be decoded{where}: {getattr(error, 'strerror', None) or error}") from None
    if shown < planned:
        raise _wrong(f"can only be decoded in part: {shown} of its {'' if whole else 'last '}{planned} frames")


def _check_streams(counts: Counter[str], expected: Expected) -> None:
    planned = (expected.audio, expected.subtitles, expected.attachments, expected.covers)
    for (kind, name), count in zip(_KINDS.items(), planned, strict=True):
        if counts[kind] != count:
            raise _wrong(f"holds {counts[kind]} of {count} {name} streams")


def _check_times(times: Sequence[Fraction], expected: Expected) -> None:
    if len(times) != expected.frames:
        raise _wrong(f"holds {len(times)} of {expected.frames} frames")
    if expected.times:
        _check_own_times(times, expected.times)
        return
    lasts, wanted = times[-1] - times[0], (expected.frames - 1) / expected.rate
    if abs(lasts - wanted) > max(2 / expected.rate, wanted / 1000):
        raise _wrong(f"shows its frames over {float(lasts):.3f} s instead of {float(wanted):.3f} s")
    allowed = 2 / expected.rate + Fraction(1, 100)
    for number, time in enumerate(times):
        planned = times[0] + number * lasts / max(1, len(times) - 1)
        if abs(time - planned) > allowed:
            raise _wrong(f"shows frame {number} after {float(time):.3f} s instead of {float(planned):.3f} s")


def _check_own_times(times: Sequence[Fraction], expected: Sequence[Fraction]) -> None:
    for number, (time, wanted) in enumerate(zip(times, expected, strict=True)):
        after, planned = time - times[0], wanted - expected[0]
        if abs(after - planned) > _ROUNDED:
            raise _wrong(f"shows frame {number} after {float(after):.3f} s instead of {float(planned):.3f} s")


def _check_audio(found: Sequence[tuple[Fraction, Fraction]], expected: Expected) -> None:
    for number, ((begin, end), wanted) in enumerate(zip(found, expected.audio_durations, strict=False)):
        if wanted is not None and end - begin < wanted - wanted / 50 - _SLACK:
            raise _wrong(
                f"has {float(end - begin):.3f} s instead of {float(wanted):.3f} s in audio stream {number + 1}"
            )


def _read(container: Any, video: Any, audio: Sequence[int]) -> _Found:
    """Read all packets of a file; `audio` are the numbers of its audio streams."""
    found = _Found()
    index, base = video.index, Fraction(video.time_base)
    for packet in container.demux():
        number = packet.stream.index
        if number == index:
            found.decoded = found.decoded or bool(packet.decode())
        stamp = packet.pts if packet.pts is not None else packet.dts
        if not packet.size:
            continue
        if number == index:
            time = Fraction(stamp or 0) * base
            found.stamps.append(time)
            if packet.is_keyframe:
                found.last_key, found.after_key = time, 0
            found.after_key += found.last_key is not None and time >= found.last_key
        elif number in audio and stamp is not None:
            time = stamp * Fraction(packet.time_base)
            begin, end = found.audio_spans.get(number, (time, time))
            found.audio_spans[number] = (begin, max(end, time + (packet.duration or 0) * Fraction(packet.time_base)))
    return found


def _decode_all(path: Path) -> int:
    """Decode all frames; returns how many there are."""
    with open_container(pyav(), path) as container:
        video = first_video(container, path)
        video.codec_context.options = {"err_detect": "explode"}
        video.thread_type = "AUTO"
        return sum(not frame.is_corrupt for packet in container.demux(video) for frame in packet.decode())


def _decode_end(path: Path, key: Fraction | None, planned: int) -> int:
    """Decode the frames from the last key frame on; returns how many there are."""
    if key is None:
        return 0
    shown = 0
    for target in (key, None):  # formats without an index seek badly: read from the start instead
        with open_container(pyav(), path) as container:
            video = first_video(container, path)
            base = Fraction(video.time_base)
            video.codec_context.options = {"err_detect": "explode"}
            with contextlib.suppress(OSError):
                if target is not None:
                    container.seek(int(key / base), stream=video)
            shown = sum(1 for frame in _frames_from(container, video, key / base) if not frame.is_corrupt)
        if shown >= planned:
            break
    return shown


def _frames_from(container: Any, video: Any, key: Fraction) -> Iterator[Any]:
    """Yield the frames of packets at or after a time.

    Earlier ones, stored behind the key frame, may need what precedes it.
    """
    for packet in container.demux(video):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if not packet.size or (stamp is not None and stamp >= key):
            yield from packet.decode()


def _wrong(what: str) -> VsvfiError:
    return VsvfiError(f"the finished file {what}; nothing is kept. Check the disk, the encoder and its options")
