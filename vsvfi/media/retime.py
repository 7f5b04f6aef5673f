"""Give the frames of encoded files their own times, packet by packet, without encoding them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from vsvfi.errors import VsvfiError
from vsvfi.media.probe import first_video, open_container
from vsvfi.media.pyav import pyav
from vsvfi.plan.timed import LONGEST_STEP

_REORDERED = 32
"""Frames by which decoding times precede presentation: more than any codec reorders. Matroska does not store them."""

_UNIT = Fraction(1, 1000)


class Sink(Protocol):
    """Takes bytes, as a pipe does."""

    def write(self, data: bytes, /) -> int | None: ...


class _Pipe:
    """A sink without a position, so that nothing is written that would need to be changed later."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        self._sink.write(data)
        return len(data)


def write_retimed(files: Sequence[Path], firsts: Sequence[int], times: Sequence[Fraction], sink: Sink) -> None:
    """Write the video of consecutive files as one Matroska stream whose frames have the given times.

    Args:
        files: each with the frames from its number in `firsts` on, in closed groups of pictures.
        firsts: number of the first frame of each file.
        times: start of each frame in seconds, and the end of the last, by number; the first file's first frame is 0.

    Raises:
        VsvfiError: a file cannot be read, or has more frames than there are times.
        OSError: the sink is closed.
    """
    av = pyav()
    origin = times[firsts[0]]
    end = firsts[-1] + sum(1 for _ in _packets(files[-1]))
    stated = _stated_duration(times[firsts[0] : end + 1])
    with av.open(_Pipe(sink), "w", format="matroska") as output:
        stream: Any = None
        for path, first in zip(files, firsts, strict=True):
            stamps = sorted(stamp for stamp, _ in _packets(path))
            if first + len(stamps) >= len(times):
                raise VsvfiError(f"{path} has {len(stamps)} frames, which are too many; render with --restart")
            numbers = {stamp: first + index for index, stamp in enumerate(stamps)}
            for order, (stamp, packet) in enumerate(_packets(path)):
                if stream is None:
                    stream = output.add_stream_from_template(packet.stream)
                    stream.codec_context.framerate = 1 / stated
                number = numbers[stamp]
                packet.stream = stream
                packet.time_base = _UNIT
                packet.pts = round((times[number] - origin) / _UNIT)
                packet.dts = min(packet.pts, _decoding(first + order, firsts[0], times))
                packet.duration = round((times[number + 1] - origin) / _UNIT) - packet.pts
                output.mux(packet)


def _stated_duration(times: Sequence[Fraction]) -> Fraction:
    """Return the duration that Matroska states for all frames of a stream.

    A frame lasts until the next one; only the last one is shown for this duration, unless it is held so long that the
    frame rate would be misleading.
    """
    durations = [max(round(end / _UNIT) - round(begin / _UNIT), 1) * _UNIT for begin, end in pairwise(times)]
    usual = sorted(durations)[len(durations) // 2]
    return durations[-1] if durations[-1] <= LONGEST_STEP * usual else usual


def _decoding(number: int, first: int, times: Sequence[Fraction]) -> int:
    """Return a decoding time that increases and precedes the presentation of what is not decoded yet."""
    earlier = number - _REORDERED
    if earlier < first:
        return earlier - first
    return round((times[earlier] - times[first]) / _UNIT)


def _packets(path: Path) -> Iterator[tuple[int, Any]]:
    av = pyav()
    try:
        with open_container(av, path) as container:
            for packet in container.demux(first_video(container, path)):
                if packet.size:
                    yield packet.pts, packet
    except av.FFmpegError as error:
        raise VsvfiError(f"{path} cannot be read ({error.strerror or error}); render with --restart") from None
