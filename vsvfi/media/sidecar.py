"""Rewrite streams that ffmpeg would not cut or move exactly into small files, packet by packet with PyAV.

Subtitles of a part: one that begins before the part and is still visible at its start is kept, from the start on.
DVD subtitles state inside how long they are shown, which is shortened too.
Audio whose time base is coarser than a millisecond (MP3 in AVI): ffmpeg would move it by whole units only.
Audio of which an edit list hides more than encoder delay: ffmpeg would copy what is hidden.
Opus where ffmpeg would write it early, see `opus`.
Subtitles of a source that is stretched.

Audio goes to formats with timestamps exact to the sample: NUT, or MOV for codecs that NUT does not hold. Matroska's
milliseconds are as fine as the times of subtitles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsvfi.media import dvd_subtitles
from vsvfi.media.codecs import holds_audio
from vsvfi.media.probe import Stream, open_container
from vsvfi.media.pyav import pyav
from vsvfi.media.stretch import Stretch

_COARSE = Fraction(1, 1000)
_FINE = Fraction(1, 1_000_000)


MOVIE_TIMESCALE = 90_000
"""Units per second of edit lists in MP4 and MOV; with ffmpeg's default of 1000, streams move by up to a millisecond."""


@dataclass(frozen=True, slots=True)
class Window:
    """A section of a file's timeline, in seconds; `end` None means to the end of the file."""

    begin: Fraction
    end: Fraction | None

    def holds(self, time: Fraction) -> bool:
        return self.begin <= time and (self.end is None or time < self.end)

    def share(self, begin: Fraction, end: Fraction) -> Fraction:
        """Return how many seconds of a stream are inside."""
        return max(Fraction(0), (end if self.end is None else min(end, self.end)) - max(begin, self.begin))


def needed(streams: Sequence[Stream], *, part: bool, delayed: bool = False) -> tuple[Stream, ...]:
    """Return the streams that must be rewritten (see above) if the source is not stretched.

    Args:
        streams: those of the source.
        part: the output is only a part of the source.
        delayed: audio with a delay has to be moved by it.
    """
    return tuple(
        stream
        for stream in streams
        if (stream.kind == "subtitle" and part)
        or (stream.kind == "audio" and (stream.hidden or stream.base > _COARSE or (delayed and stream.delay)))
    )


def files(streams: Sequence[Stream], *, delayed: bool = False) -> dict[str, list[Stream]]:
    """Return the names of the files to write, and which streams go to each; arguments as for `needed`."""
    groups: dict[str, list[Stream]] = {}
    for stream in streams:
        groups.setdefault(f"beside.{_form(stream, delayed=delayed)}", []).append(stream)
    return groups


def _form(stream: Stream, *, delayed: bool) -> str:
    """ffmpeg's name of the format for a stream, which is the ending too."""
    if stream.kind == "subtitle":
        return "mp4" if stream.codec == "mov_text" else "matroska"
    if delayed and stream.delay:
        return "matroska"  # NUT does not state the delay
    return next((muxer for muxer in ("nut", "mov") if holds_audio(muxer, stream.codec)), "matroska")


def write(
    source: Path,
    streams: Sequence[Stream],
    window: Window,
    origin: Fraction,
    target: Path,
    *,
    delayed: bool = False,
    stretch: Stretch | None = None,
) -> None:
    """Copy the packets of `streams` inside a window to a new file.

    Args:
        source: the file they are in.
        streams: audio and subtitle streams; they become streams 0, 1, ... in this order.
        window: what to copy.
        origin: time on the source's timeline that becomes zero.
        target: file to write, its name from `files`.
        delayed: audio with a delay is moved by it.
        stretch: from the source's timeline to that of `window` and `origin`.
    """
    av = pyav()
    muxer = target.suffix[1:]
    options = {"movie_timescale": str(MOVIE_TIMESCALE)} if muxer in ("mp4", "mov") else {}
    with (
        open_container(av, source) as container,
        av.open(f"file:{target}", "w", format=muxer, options=options) as output,
    ):
        inputs = [container.streams[stream.index] for stream in streams]
        outputs = {stream.index: output.add_stream_from_template(stream) for stream in inputs}
        units = {stream.index: _unit(stream) for stream in inputs}
        kinds = {stream.index: stream.kind for stream in streams}
        zeros = {stream.index: origin - (stream.delay if delayed else 0) for stream in streams}
        waiting: dict[int, Any] = {}

        def put(packet: Any, index: int, time: Fraction) -> None:
            unit = units[index]
            duration = round((packet.duration or 0) * packet.time_base / unit)
            packet.stream = outputs[index]
            packet.time_base = unit
            packet.pts = packet.dts = round((time - zeros[index]) / unit)
            packet.duration = duration
            output.mux(packet)

        for packet in container.demux(inputs):
            if not packet.size:
                continue
            packet = packet if stretch is None else _stretched(packet, stretch)
            for kept, time in _inside(packet, kinds[packet.stream.index], window, waiting):
                put(kept, packet.stream.index, time)
        for index, packet in waiting.items():  # visible until the end of the file
            put(packet, index, window.begin)


def _stretched(packet: Any, stretch: Stretch) -> Any:
    """Return a subtitle with its time and duration on the stretched timeline."""
    base, kind = packet.time_base, packet.stream.codec_context.codec.canonical_name
    stamp = packet.pts if packet.pts is not None else packet.dts
    result = packet
    if kind == "dvd_subtitle":
        result = pyav().Packet(dvd_subtitles.stretched(bytes(packet), stretch.factor))
        result.stream, result.time_base = packet.stream, base
    result.duration = round((packet.duration or 0) * stretch.factor)
    if stamp is not None:
        result.pts = result.dts = round(stretch.time(stamp * base) / base)
    return result


def _unit(stream: Any) -> Fraction:
    """Return a time base in which a stream can be moved without a relevant error."""
    rate = stream.codec_context.sample_rate if stream.type == "audio" else 0
    return Fraction(1, rate) if rate else min(Fraction(stream.time_base), _FINE)


def _inside(packet: Any, kind: str, window: Window, waiting: dict[int, Any]) -> Iterator[tuple[Any, Fraction]]:
    """Yield the packets to write now, with their times; a subtitle without duration lasts until the next one."""
    index, base = packet.stream.index, packet.stream.time_base
    stamp = packet.pts if packet.pts is not None else packet.dts
    if stamp is None:
        return
    time = stamp * base
    if kind == "subtitle" and time <= window.begin:
        if packet.stream.codec_context.codec.canonical_name == "dvd_subtitle":
            _await_next(packet, window.begin - time, waiting)
        elif not packet.duration:
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


def _await_next(packet: Any, ago: Fraction, waiting: dict[int, Any]) -> None:
    """Let a DVD subtitle that began `ago` wait for the next one, which replaces it, if it is still visible."""
    index, base, content = packet.stream.index, packet.stream.time_base, bytes(packet)
    lasts = dvd_subtitles.shown_for(content) or packet.duration * base
    if 0 < lasts <= ago:
        waiting.pop(index, None)
        return
    begun = pyav().Packet(dvd_subtitles.begun(content, ago))
    begun.stream, begun.time_base = packet.stream, packet.time_base
    begun.duration = round((lasts - ago) / base) if lasts else 0
    waiting[index] = begun
