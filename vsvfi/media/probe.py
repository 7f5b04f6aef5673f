"""Read a video file's properties for a render: when its frames are shown, and its other streams.

Sync has one definition. Every stream of a container is placed on the container's own timeline; `Media.start` is the
time on it at which the first frame is shown, `Stream.start` that of the first packet of another stream that is
presented. A render keeps every distance between them. Presentation means:

- Packets that an edit list hides, and frames before the first that can be decoded (a cut in an open group of pictures),
  are not presented. Encoder delay of audio (AAC's first packet in MP4) precedes the presentation by its own length.
- Where packets have no presentation times (AVI, ASF, elementary streams), frames are shown at the decoding times, later
  by the decoder's delay: its first frame has the time of the packet that released it.
- Where there are no times at all, frames follow each other at the rate that the codec states.
- Matroska cannot express times before zero: frames without a time at its start precede the others at the codec's rate.
- Times that jump (recordings joined by their bytes) place nothing, and are refused.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from vsvfi.errors import VsvfiError
from vsvfi.media.frame_size import ConstantSize
from vsvfi.media.opus import delay_of
from vsvfi.media.pixels import parse
from vsvfi.media.pyav import pyav
from vsvfi.media.readers import Bestsource, bestsource_for
from vsvfi.media.stretch import Stretch
from vsvfi.media.times import discontinuity, first_at, held_frames, judge, most_reordered, presentation_times

_CODECS = {"srt": "subrip", "ssa": "ass", "dca": "dts"}
"""Names of decoders that differ from those of their codecs."""

_EMPTY_FRAMES = ("theora",)
"""Codecs whose empty packets are frames that repeat the one before; AVI has empty packets where nothing is stored."""

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that read separately coded alpha; ffmpeg's own ignore it."""

_DYNAMIC_HDR = {
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
}


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream other than the video.

    Attributes:
        index: its number in the file.
        kind: "audio", "subtitle", "data", "attachment", "cover", or "video" for further videos.
        codec: ffmpeg's name of the codec.
        start: time of its first presented packet, on the file's timeline.
        hidden: an edit list hides packets before `start`, more of them than one of encoder delay.
        base: unit of its timestamps in seconds.
        end: end of its last packet.
        delay: seconds of audio that its decoder drops at the start, where the container's times include them (Opus).
        title, language: its tags, or "".
        disposition: as ffmpeg takes it, such as "default+forced"; "0" for none.
    """

    index: int
    kind: str
    codec: str
    start: Fraction = Fraction(0)
    hidden: bool = False
    base: Fraction = Fraction(1, 1000)
    end: Fraction = Fraction(0)
    delay: Fraction = Fraction(0)
    title: str = ""
    language: str = ""
    disposition: str = "0"


@dataclass(frozen=True, slots=True)
class Media:
    """A video file.

    Attributes:
        path: the file.
        frames: number of frames that its first video stream shows, those `held` included.
        start: time of the first frame on the file's timeline, in seconds.
        rate: its frame rate where it is constant; else the rate most of its frames have.
        constant: no frame is off by more than half a frame (or 25 ms; 20 ms in a GIF) from where a constant rate would
            show it.
        video: the first video stream.
        streams: the others.
        decoded: number of frames including those not shown.
        hidden: positions in `decoded` of the frames that are not shown.
        times: where the rate varies, when each frame shown is on the file's timeline, and the end of the last.
        stamps: the same, whether it varies or not; empty where frames are `held`.
        held: positions in the frames shown of those that are repeated for a constant rate, each as often as that; AVI
        has empty packets there.
        turn: how its display matrix turns it for showing, in order: "t" transposed, "h" and "v" mirrored across and
        down.
        dynamic_hdr: names of the dynamic HDR metadata that its first frame has.
        width, height: of its frames before they are turned.
        pixels: ffmpeg's name of the pixel format.
        alpha: its frames have transparency, in their pixels or beside them (VP8, VP9).
        decoder: ffmpeg's name of the decoder that reads transparency beside the pixels, "" for the usual one.
        bare: it is made of images, so there is nothing to carry over.
        bestsource: whether this source filter has to read it.
        stretch: how the file is stretched to what is stated here, None where it is not.
    """

    path: Path
    frames: int
    start: Fraction
    rate: Fraction
    constant: bool
    video: Stream = Stream(0, "video", "")
    streams: tuple[Stream, ...] = ()
    decoded: int = 0
    hidden: tuple[int, ...] = ()
    times: tuple[Fraction, ...] = ()
    stamps: tuple[Fraction, ...] = ()
    held: tuple[int, ...] = ()
    turn: str = ""
    dynamic_hdr: tuple[str, ...] = ()
    width: int = 0
    height: int = 0
    pixels: str = "yuv420p"
    alpha: bool = False
    decoder: str = ""
    bare: bool = False
    bestsource: Bestsource = Bestsource.UNNEEDED
    stretch: Stretch | None = None

    def of(self, kind: str) -> tuple[Stream, ...]:
        """The streams of a kind, in the file's order."""
        return tuple(stream for stream in self.streams if stream.kind == kind)

    @property
    def audio(self) -> tuple[str, ...]:
        """Codec names of the audio streams."""
        return tuple(stream.codec for stream in self.of("audio"))

    @property
    def subtitles(self) -> tuple[str, ...]:
        """Codec names of the subtitle streams."""
        return tuple(stream.codec for stream in self.of("subtitle"))

    @property
    def attachments(self) -> bool:
        """Whether it has attached files, such as fonts."""
        return bool(self.of("attachment"))


def probe(path: Path) -> Media:
    """Read the packets of a file; only frames up to the first that can be shown are decoded.

    Raises:
        VsvfiError: PyAV is missing, the file cannot be read, it has no video, or its frame size changes.
    """
    av = pyav()
    try:
        with open_container(av, path) as container:
            index = int(first_video(container, path).index)
            packets = _packets(container, ConstantSize(path, index))
        if not any(packet.stream == index for packet in packets):
            raise VsvfiError(f"{path} has no video frames; pass another file")
        with open_container(av, path) as container:
            video = container.streams[index]
            return _media(path, container, video, packets, _first_frame(container, video, path))
    except av.FFmpegError as error:
        reason = (error.strerror or str(error)).rstrip(".")
        raise VsvfiError(f"{path} cannot be read as video: {reason}") from None


@dataclass(frozen=True, slots=True)
class _Packet:
    stream: int
    pts: int | None
    dts: int | None
    duration: int
    discarded: bool
    size: int


@dataclass(frozen=True, slots=True)
class _FirstFrame:
    time: int | None
    turn: str
    dynamic_hdr: tuple[str, ...]


def open_container(av: Any, path: Path) -> Any:
    """Open a container without generating missing timestamps."""
    container = av.open(_url(path))
    container.flags &= ~av.container.Flags.gen_pts.value
    return container


def _url(path: Path) -> str:
    """Return the path in a form of which no part is taken for a protocol."""
    return f"file:{path}"


def first_video(container: Any, path: Path) -> Any:
    """The first video stream that is no cover.

    Raises:
        VsvfiError: there is none.
    """
    for stream in container.streams.video:
        if not is_cover(stream):
            return stream
    raise VsvfiError(f"{path} has no video stream; pass a video file")


def is_cover(stream: Any) -> bool:
    """Return whether a stream is cover art."""
    return stream.type == "video" and "attached_pic" in _dispositions(stream)


def _dispositions(stream: Any) -> list[str]:
    return [flag.name for flag in type(stream.disposition) if flag in stream.disposition and flag.value]


def _packets(container: Any, size: ConstantSize) -> list[_Packet]:
    """Return all packets of a file; of a truncated one those that can be read."""
    packets: list[_Packet] = []
    try:
        for packet in container.demux():
            if packet.size or (packet.pts is not None and _codec(packet.stream) in _EMPTY_FRAMES):
                size.check(packet)
                packets.append(
                    _Packet(
                        packet.stream.index,
                        packet.pts,
                        packet.dts,
                        packet.duration or 0,
                        packet.is_discard,
                        packet.size,
                    )
                )
    except (OSError, ValueError):  # PyAV's errors are such too
        if not packets:
            raise
    return packets


def _codec(stream: Any) -> str:
    context = getattr(stream, "codec_context", None)
    return str(context.codec.canonical_name) if context is not None else ""


def _first_frame(container: Any, video: Any, path: Path) -> _FirstFrame:
    """Decode the first frame on one thread; with more, a frame's decoding time differs."""
    video.codec_context.thread_count = 1
    for packet in container.demux(video):
        try:
            frames = video.decode(packet) if hasattr(video, "decode") else packet.decode()
        except (OSError, ValueError):
            continue  # before the first key frame
        for frame in frames:
            matrix = _side_data(frame, "DISPLAYMATRIX")
            dynamic = tuple(
                dict.fromkeys(name for kind, name in _DYNAMIC_HDR.items() if _side_data(frame, kind) is not None)
            )
            return _FirstFrame(
                frame.pts if frame.pts is not None else frame.dts, turn_of(bytes(matrix)) if matrix else "", dynamic
            )
    raise VsvfiError(f"{path} has no video frame that can be decoded; pass another file")


def _side_data(frame: Any, name: str) -> Any:
    kinds = pyav().sidedata.sidedata.Type
    data = frame.side_data
    # PyAV frees the notes of side data (a colour profile has some) once with the frame and once more with this object:
    # it must never be freed. There is one for each file.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(data))
    return data.get(kinds[name]) if name in kinds.__members__ else None


def turn_of(matrix: bytes) -> str:
    """Return a display matrix as `Media.turn`; rotations by other than right angles are ignored."""
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    if abs(a) + abs(d) < abs(b) + abs(c):
        return "t" + ("h" if c < 0 else "") + ("v" if b < 0 else "")
    return ("h" if a < 0 else "") + ("v" if d < 0 else "")


def _media(path: Path, container: Any, video: Any, packets: list[_Packet], first: _FirstFrame) -> Media:
    base = Fraction(video.time_base)
    own = [packet for packet in packets if packet.stream == video.index]
    _check_continuity(path, container, own, base)
    declared = video.guessed_rate or video.average_rate
    rate = Fraction(declared) if declared else Fraction(25)
    stamps = presentation_times(
        [packet.pts for packet in own], [packet.dts for packet in own], first.time, 1 / (rate * base)
    )
    times = [stamp * base for stamp in stamps]
    discarded = {packet.pts for packet in own if packet.discarded}
    earliest = (
        first_at(stamps, Fraction(first.time))
        if first.time is not None and all(packet.pts is not None for packet in own)
        else 0
    )
    hidden = tuple(index for index, stamp in enumerate(stamps) if index < earliest or stamp in discarded)
    away = set(hidden)
    shown = [time for index, time in enumerate(times) if index not in away]
    reordered = most_reordered([packet.pts for packet in own])
    rate, constant = judge(shown, Fraction(declared) if declared else None, base, reordered=reordered)
    held = () if constant or not declared else held_frames(shown, Fraction(declared), base)
    if held:
        rate, constant = Fraction(declared), True
    stamped = (*shown, shown[-1] + _last_duration(own, rate, base))
    context = video.codec_context
    pixels = context.pix_fmt or "yuv420p"
    stream = _stream(video, [], "video")
    beside = str(video.metadata.get("alpha_mode", video.metadata.get("ALPHA_MODE", ""))) == "1"
    known = parse(pixels)
    return Media(
        path=path,
        frames=len(shown) + len(held),
        start=shown[0],
        rate=rate,
        constant=constant,
        video=stream,
        streams=tuple(_streams(container, video.index, packets)),
        decoded=len(times),
        hidden=hidden,
        times=() if constant else stamped,
        stamps=() if held else stamped,
        held=held,
        turn=first.turn,
        dynamic_hdr=first.dynamic_hdr,
        width=context.width,
        height=context.height,
        pixels=pixels,
        alpha=beside or (known is not None and known.alpha),
        decoder=_ALPHA_DECODERS.get(stream.codec, "") if beside else "",
        bestsource=bestsource_for(
            container.format.name, [packet.pts for packet in own], [packet.dts for packet in own]
        ),
    )


def _last_duration(packets: list[_Packet], rate: Fraction, base: Fraction) -> Fraction:
    """Return how long the last frame is shown, where durations are those of the frames: in a GIF, not in Matroska."""
    ordered = sorted((packet.pts, packet.duration) for packet in packets if packet.pts is not None)
    true = all(begin + duration == end for (begin, duration), (end, _) in pairwise(ordered))
    return ordered[-1][1] * base if ordered and true and ordered[-1][1] > 0 else 1 / rate


def _check_continuity(path: Path, container: Any, packets: list[_Packet], base: Fraction) -> None:
    """Refuse a file whose frames cannot be placed by their times."""
    allowed = bool(container.format.flags & pyav().format.Flags.ts_discont.value)
    jump = discontinuity([packet.dts for packet in packets], base, allowed=allowed)
    if jump:
        how = "-fflags +genpts -i FILE -c copy" if allowed else "-i FILE -c:v ffv1 -c:a copy"
        raise VsvfiError(f"{path}: its timestamps {jump}; write it again with ffmpeg {how} OUT.mkv, and render that")


def _streams(container: Any, video: int, packets: Iterable[_Packet]) -> Iterable[Stream]:
    """Yield the streams other than the first video."""
    by_stream: dict[int, list[_Packet]] = {}
    for packet in packets:
        by_stream.setdefault(packet.stream, []).append(packet)
    for stream in container.streams:
        kind = "cover" if is_cover(stream) else str(stream.type)
        if stream.index != video:
            yield _stream(stream, by_stream.get(stream.index, []), kind)


def _stream(stream: Any, packets: list[_Packet], kind: str) -> Stream:
    base = Fraction(stream.time_base) if stream.time_base else Fraction(1)
    stamps = ((packet.pts if packet.pts is not None else packet.dts, packet) for packet in packets)
    known = [(stamp * base, packet) for stamp, packet in stamps if stamp is not None]
    shown = next((index for index, (_, packet) in enumerate(known) if not packet.discarded), 0)
    context = getattr(stream, "codec_context", None)
    name = _codec(stream)
    return Stream(
        index=stream.index,
        kind=kind,
        codec=_CODECS.get(name, name),
        start=known[shown][0] if known else Fraction(0),
        hidden=shown > 1,
        base=base,
        end=max((time + packet.duration * base for time, packet in known), default=Fraction(0)),
        delay=delay_of(name, context.extradata if context is not None else None),
        title=str(stream.metadata.get("title", "")),
        language=str(stream.metadata.get("language", "")),
        disposition="+".join(flag for flag in _dispositions(stream) if flag != "attached_pic") or "0",
    )
