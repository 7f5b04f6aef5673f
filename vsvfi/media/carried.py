"""ffmpeg's maps, codecs and tags for all source streams beside the video, and what cannot be carried over.

| source | Matroska | MP4, MOV | WebM, AVI, NUT |
| --- | --- | --- | --- |
| audio | yes | yes | yes |
| text subtitles | yes | as mov_text | no |
| bitmap subtitles, fonts | yes | no | no |
| cover art | as attachment | yes | no |
| chapters, titles, languages, dispositions | yes | yes | as the format has them |
| data streams | no | no | no |
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from vsvfi.media import opus
from vsvfi.media.codecs import fit_audio, slow_audio
from vsvfi.media.probe import Media, Stream, open_container
from vsvfi.media.pyav import pyav

_TEXT_SUBTITLES = frozenset({"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text"})
_TYPES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}
"""Suffix and MIME type of images that Matroska accepts as cover art."""


def holds(muxer: str, stream: Stream) -> bool:
    """Return whether a container can hold a stream of the source."""
    matroska, mp4 = muxer == "matroska", muxer in ("mp4", "mov")
    match stream.kind:
        case "audio":
            return True
        case "subtitle":
            return matroska or (mp4 and stream.codec in _TEXT_SUBTITLES)
        case "attachment":
            return matroska
        case "cover":
            return stream.codec in _TYPES and (matroska or mp4)
        case _:
            return False


def kept(media: Media, muxer: str, kind: str) -> tuple[Stream, ...]:
    """Return the streams of a kind that a container can hold."""
    return tuple(stream for stream in media.of(kind) if holds(muxer, stream))


def left_behind(media: Media, muxer: str) -> list[str]:
    """Return the names of the streams that a container cannot hold."""
    return [
        f"{stream.kind} stream {stream.index}{f' ({stream.codec})' if stream.codec else ''}"
        for stream in media.streams
        if not holds(muxer, stream)
    ]


def carried(
    media: Media, muxer: str, beside: Mapping[int, str], folder: Path | None, *, forgets_delay: bool = False,
    chapters: int = 1, trim: str = "",
) -> list[str]:  # fmt: skip
    """Return ffmpeg output options for all streams that are carried over.

    Args:
        muxer: ffmpeg's name of the container format.
        beside: ffmpeg's names of streams that come from another file, by number in the source.
        folder: for cover art that ffmpeg attaches.
        forgets_delay: see `opus`.
        chapters: number of ffmpeg's input with the chapters, -1 for none.
        trim: ffmpeg's filter that cuts audio, "" to take all of it.
    """
    audio, words = kept(media, muxer, "audio"), kept(media, muxer, "subtitle")
    arguments = ["-map_metadata", "1", "-map_chapters", str(chapters)]
    for stream in (*audio, *words):
        arguments += ["-map", beside.get(stream.index, f"1:{stream.index}")]
    later = opus.ENCODED_DELAY if forgets_delay else Fraction(0)
    if media.stretch is None:
        arguments += fit_audio(muxer, media.audio, later=later, trim=trim)
    else:
        arguments += slow_audio(muxer, media.audio, media.stretch.audio_filter(), later=later)
    for number, stream in enumerate(words):
        arguments += [f"-c:s:{number}", _subtitle_codec(muxer, stream.codec)]
    for letter, streams in (("v", (media.video,)), ("a", audio), ("s", words)):
        for number, stream in enumerate(streams):
            arguments += _labels(f"{letter}:{number}", stream)
    fonts = kept(media, muxer, "attachment")
    for stream in fonts:
        arguments += ["-map", f"1:{stream.index}"]
    return arguments + (["-c:t", "copy"] if fonts else []) + _covers(media, muxer, len(fonts), folder)


def _labels(where: str, stream: Stream) -> list[str]:
    """Return title, language and disposition of a stream."""
    labels = [("title", stream.title), ("language", stream.language)]
    tags = [option for name, value in labels if value for option in (f"-metadata:s:{where}", f"{name}={value}")]
    return [*tags, f"-disposition:{where}", stream.disposition]


def _subtitle_codec(muxer: str, codec: str) -> str:
    if muxer == "matroska":
        return "srt" if codec == "mov_text" else "copy"
    return "copy" if codec == "mov_text" else "mov_text"


def _covers(media: Media, muxer: str, attachments: int, folder: Path | None) -> list[str]:
    """Cover art: a video stream of its own in MP4, an attachment in Matroska."""
    arguments: list[str] = []
    for number, stream in enumerate(kept(media, muxer, "cover")):
        if muxer != "matroska":
            arguments += [
                "-map",
                f"1:{stream.index}",
                f"-c:v:{number + 1}",
                "copy",
                f"-disposition:v:{number + 1}",
                "attached_pic",
            ]
        elif folder is not None:
            ending, mime = _TYPES[stream.codec]
            name = f"cover{number or ''}.{ending}"
            (folder / name).write_bytes(_cover(media.path, stream.index))
            where = f"-metadata:s:t:{attachments + number}"
            arguments += ["-attach", str(folder / name), where, f"mimetype={mime}", where, f"filename={name}"]
    return arguments


def _cover(path: Path, index: int) -> bytes:
    with open_container(pyav(), path) as container:
        return next((bytes(packet) for packet in container.demux(container.streams[index]) if packet.size), b"")
