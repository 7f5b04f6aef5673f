"""Writes a small file with the streams that ffmpeg would not cut or move exactly, rewritten packet by packet with PyAV.

Subtitles of a part: one that begins before the part and is still visible at its start is kept, from the start on.
Sound whose time base is coarser than a millisecond (MP3 in AVI): ffmpeg would move it by whole units only.
Sound of which an edit list hides more than encoder delay: ffmpeg would copy what is hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsvfi.media.probe import Stream, open_container
from vsvfi.media.pyav import pyav

_COARSE = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a file's time line, in seconds; `end` None means to the end of the file."""

    begin: Fraction
    end: Fraction | None

    def holds(self, time: Fraction) -> bool:
        return self.begin <= time and (self.end is None or time < self.end)

    def share(self, begin: Fraction, end: Fraction) -> Fraction:
        """Return how many seconds of a stream lie inside."""
        return max(Fraction(0), (end if self.end is None else min(end, self.end)) - max(begin, self.begin))


def needed(streams: Sequence[Stream], *, part: bool) -> tuple[Stream, ...]:
    """Return the streams that have to be rewritten: see above."""
    return tuple(
        stream
        for stream in streams
        if (stream.kind == "subtitle" and part) or (stream.kind == "audio" and (stream.hidden or stream.base > _COARSE))
    )


def write(source: Path, streams: Sequence[Stream], window: Window, origin: Fraction, target: Path) -> None:
    """Copy the packets of `streams` inside a window to a new file.

    Args:
        source: the file they are in.
        streams: sound and subtitle streams; they become streams 0, 1, ... in this order.
        window: what to copy.
        origin: time on the source's time line that becomes zero.
        target: file to write: MP4 where it ends in ".mp4", else Matroska.
    """
    av = pyav()
    with (
        open_container(av, source) as container,
        av.open(f"file:{target}", "w", format="mp4" if target.suffix == ".mp4" else "matroska") as output,
    ):
        inputs = [container.streams[stream.index] for stream in streams]
        outputs = {stream.index: output.add_stream_from_template(stream) for stream in inputs}
        kinds = {stream.index: stream.kind for stream in streams}
        waiting: dict[int, Any] = {}
        for packet in container.demux(inputs):
            if not packet.size:
                continue
            for kept, time in _inside(packet, kinds[packet.stream.index], window, waiting):
                base = packet.stream.time_base
                kept.stream = outputs[packet.stream.index]
                kept.pts = kept.dts = round((time - origin) / base)
                output.mux(kept)
        for index, packet in waiting.items():  # shown to the end of the file
            base = packet.time_base
            packet.stream = outputs[index]
            packet.pts = packet.dts = round((window.begin - origin) / base)
            output.mux(packet)


def _inside(packet: Any, kind: str, window: Window, waiting: dict[int, Any]) -> Iterator[tuple[Any, Fraction]]:
    """Yield the packets to write now, with their times; a subtitle without duration lasts until the next one."""
    index, base = packet.stream.index, packet.stream.time_base
    stamp = packet.pts if packet.pts is not None else packet.dts
    if stamp is None:
        return
    time = stamp * base
    if kind == "subtitle" and time <= window.begin:
        if not packet.duration:
            waiting[index] = packet
        elif time + packet.duration * base > window.begin:
            waiting.pop(index, None)
            packet.duration -= round((window.begin - time) / base)
            yield packet, window.begin
    elif window.holds(time):
        before = waiting.pop(index, None)
        if before is not None:
            yield before, window.begin
        yield packet, time
