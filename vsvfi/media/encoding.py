"""Build ffmpeg's arguments from the properties of a clip.

Covers colour tags, aspect ratio, HDR metadata, the encoder, and the streams carried over from the source file.

Starts no program and reads no file. Tags are set on the frames (`setparams`), never as output options, with which
ffmpeg might convert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsvfi.clip.props import read_integer
from vsvfi.errors import VsvfiError
from vsvfi.media import sidecar
from vsvfi.media.carried import carried, kept
from vsvfi.media.codecs import encodes_audio
from vsvfi.media.encoder_args import merge
from vsvfi.media.hdr import svtav1_hdr, x265_hdr
from vsvfi.media.probe import Media, open_container
from vsvfi.media.pyav import pyav
from vsvfi.media.stretch import Stretch, write_chapters
from vsvfi.media.verify import Expected

CONTAINERS = {".mkv": "matroska", ".mp4": "mp4", ".mov": "mov", ".webm": "webm", ".nut": "nut", ".avi": "avi"}

_RANGE = {0: "limited", 1: "full"}
_MATRIX = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    14: "ictcp",
}
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428",
    11: "smpte431", 12: "smpte432",
    22: "jedec-p22",
}  # fmt: skip
_TRANSFER = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316",
    11: "iec61966-2-4",
    13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
_CHROMA = {0: "left", 1: "center", 2: "topleft", 3: "top", 4: "bottomleft", 5: "bottom"}
_TAGS = (
    ("_Range", "range", _RANGE), ("_Matrix", "colorspace", _MATRIX), ("_Primaries", "color_primaries", _PRIMARIES),
    ("_Transfer", "color_trc", _TRANSFER),
)  # fmt: skip

_FACTORS = {"libx265": 18, "libx264": 16, "libvpx-vp9": 24}
"""Default constant rate factors; other encoders use their own default."""

_APART = Fraction(2, 1_000_000)
"""Seconds added to the offset of a source: ffmpeg replaces one that equals the start of a transport stream."""


_BEFORE = Fraction(2)
"""Seconds before a part from which audio is decoded: its packets may be stored well before their frame."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Properties of the clip that the script outputs.

    Attributes:
        width, height, frames, rate: of the output.
        source_frames, source_rate: of the clip before interpolation.
        chroma_420: its chroma is subsampled in both directions.
        props: properties of the first source frame.
        pixels: ffmpeg's name of the format in the pipe.
        encoded: ffmpeg's name of the format to encode in, "" for the encoder's choice.
        device: what the model runs on, for messages.
        times: start of each frame in seconds, the first at 0, and the end of the last; empty at a constant rate.
    """

    width: int
    height: int
    frames: int
    rate: Fraction
    source_frames: int
    source_rate: Fraction
    chroma_420: bool
    props: Mapping[str, Any]
    device: str
    pixels: str = "yuv420p"
    encoded: str = ""
    times: tuple[Fraction, ...] = ()

    def time(self, n: int) -> Fraction:
        """Return when output frame n begins, in seconds from the first; the end of the last for their number."""
        return self.times[n] if self.times else n / self.rate

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Facts:
        """Parse the JSON that `vsvfi.cli.scripting` writes."""
        return cls(**{**raw, "rate": Fraction(raw["rate"]), "source_rate": Fraction(raw["source_rate"])})


@dataclass(frozen=True, slots=True)
class Quality:
    """Encoder settings.

    Attributes:
        encoder: ffmpeg's name of the encoder, "auto" for the container's default.
        crf, preset: its constant rate factor and preset, None for the default.
        more: further options in the user's form, see `encoder_args`.
    """

    encoder: str
    crf: float | None = None
    preset: str | None = None
    more: str = ""


def container(target: Path) -> str:
    """Return ffmpeg's name of the format for a file name.

    Raises:
        VsvfiError: not one of `CONTAINERS`.
    """
    try:
        return CONTAINERS[target.suffix.lower()]
    except KeyError:
        raise VsvfiError(
            f"output {str(target)!r}, its format is not known by the name; end it in one of {', '.join(CONTAINERS)}"
        ) from None


@dataclass(frozen=True, slots=True)
class Rewriting:
    """Streams that must be rewritten before ffmpeg can copy them, see `sidecar`.

    Attributes:
        folder: for a file with them.
        forgets_delay: result of `opus.forgets_delay` for this ffmpeg.
    """

    folder: Path
    forgets_delay: bool = False


def ffmpeg_arguments(
    facts: Facts,
    quality: Quality,
    media: Media | None,
    part: Part,
    target: Path,
    muxer: str,
    more: Sequence[str] = (),
    rewriting: Rewriting | None = None,
) -> list[str]:
    """Return ffmpeg's arguments after the program: y4m on standard input, `target` as output.

    The pipe of raw frames counts frames from zero. The file's timeline is moved (`-copyts -itsoffset`) until the first
    frame of the pipe is at zero on it; where audio starts earlier, the muxer moves everything (`-output_ts_offset`). So
    no stream is moved by less than a unit of its time base.

    Args:
        media: where audio, subtitles and chapters come from; None for none.
        part: which output frames come through the pipe.
        target: file to write, of any name.
        muxer: its container format, see `container`.
        more: checked options of the encoder, see `encoder_args.parse`.
        rewriting: of streams that must be, None to take them as they are.
    """
    rate = f"{facts.rate.numerator}:{facts.rate.denominator}"
    inputs = [
        "-f",
        "rawvideo",
        "-pixel_format",
        facts.pixels,
        "-video_size",
        f"{facts.width}x{facts.height}",
        "-framerate",
        rate,
        "-i",
        "-",
    ]
    more_inputs, taken = _beside(facts, media, part, muxer, rewriting)
    return [
        *_GENERAL, *inputs, *more_inputs, "-map", "0:v:0",
        *("-filter:v:0", ",".join(video_filters(facts))), *_chroma_location(facts),
        *merge([*encoder_arguments(facts, quality), *_tag(quality.encoder, muxer)], more),
        *taken, *_ending(muxer, target),
    ]  # fmt: skip


def join_arguments(
    facts: Facts, encoder: str, media: Media | None, part: Part, listing: Path | None, target: Path, muxer: str,
    rewriting: Rewriting | None = None,
) -> list[str]:  # fmt: skip
    """Like `ffmpeg_arguments`, with video that is encoded already.

    Args:
        encoder: that has made the video.
        listing: a list of files for ffmpeg's concat demuxer, each with its duration; None for Matroska on standard
            input.
    """
    concat = ["-f", "concat", "-safe", "0", "-i", f"file:{listing}"]
    inputs = ["-f", "matroska", "-i", "-"] if listing is None else concat
    more_inputs, taken = _beside(facts, media, part, muxer, rewriting)
    video = ["-map", "0:v:0", "-c:v:0", "copy", *_tag(encoder, muxer)]
    return [*_GENERAL, *inputs, *more_inputs, *video, *taken, *_ending(muxer, target)]


_GENERAL = ("-hide_banner", "-loglevel", "error", "-nostats", "-y", "-copyts")


def _beside(
    facts: Facts, media: Media | None, part: Part, muxer: str, rewriting: Rewriting | None
) -> tuple[list[str], list[str]]:
    """Return ffmpeg's inputs after the video, and the output options for their streams."""
    if media is None or media.bare:
        return [], []
    folder, forgets_delay = (rewriting.folder, rewriting.forgets_delay) if rewriting else (None, False)
    placed = place(media, part, facts)
    if media.stretch is not None:
        assert rewriting is not None
        return _stretched_beside(media, media.stretch, placed, muxer, rewriting)
    inputs = ["-itsoffset", _seconds(_APART - placed.begin), *placed.skip(), "-i", f"file:{media.path}"]
    cut = not part.whole(facts.frames)
    beside = sidecar.needed(media.streams, part=cut, delayed=forgets_delay) if folder is not None else ()
    places: dict[int, str] = {}
    for file, (name, streams) in enumerate(sidecar.files(beside, delayed=forgets_delay).items(), start=2):
        assert folder is not None
        sidecar.write(media.path, streams, placed.window, placed.origin, folder / name, delayed=forgets_delay)
        inputs += ["-itsoffset", _seconds(placed.origin - placed.begin), "-i", f"file:{folder / name}"]
        places.update({stream.index: f"{file}:{number}" for number, stream in enumerate(streams)})
    trim = placed.trim()
    decoded = [stream for stream in media.of("audio") if encodes_audio(muxer, stream.codec, cut=bool(trim))]
    apart = [stream for stream in decoded if stream.index not in places] if placed.cut is not None else []
    if apart:  # an input of its own: it begins earlier, and ffmpeg would cut it by the times of the file
        early = [*placed.skip(_BEFORE), "-noaccurate_seek"]
        places.update({stream.index: f"{inputs.count('-i') + 1}:{stream.index}" for stream in apart})
        inputs += ["-itsoffset", _seconds(_APART - placed.begin), *early, "-i", f"file:{media.path}"]
    options = carried(media, muxer, places, folder, forgets_delay=forgets_delay, trim=trim)
    return inputs, [*options, *placed.cuts()]


def _stretched_beside(
    media: Media, stretch: Stretch, placed: Place, muxer: str, rewriting: Rewriting
) -> tuple[list[str], list[str]]:
    """Like `_beside`, for slow motion: audio from the file's own timeline, all else from rewritten files."""
    source = ["-i", f"file:{media.path}"]
    inputs = [*source, "-itsoffset", _seconds(_APART - stretch.origin(placed.begin)), *source]
    places = {stream.index: f"2:{stream.index}" for stream in media.of("audio")}
    file = 3
    for name, streams in sidecar.files(media.of("subtitle")).items():
        target = rewriting.folder / name
        sidecar.write(media.path, streams, placed.window, placed.begin, target, stretch=stretch)
        inputs += ["-i", f"file:{target}"]
        places.update({stream.index: f"{file}:{number}" for number, stream in enumerate(streams)})
        file += 1
    listed = rewriting.folder / "chapters.txt"
    with open_container(pyav(), media.path) as container:
        has_chapters = write_chapters(container.chapters(), stretch, placed.begin, placed.end, listed)
    inputs += ["-f", "ffmetadata", "-i", f"file:{listed}"] if has_chapters else []
    options = carried(
        *(media, muxer, places, rewriting.folder),
        forgets_delay=rewriting.forgets_delay,
        chapters=file if has_chapters else -1,
    )
    return inputs, [*options, *placed.cuts()]


def _ending(muxer: str, target: Path) -> list[str]:
    scale = ["-movie_timescale", str(sidecar.MOVIE_TIMESCALE)] if muxer in ("mp4", "mov") else []
    return [*scale, "-max_muxing_queue_size", "4096", "-f", muxer, f"file:{target}"]


def planned(facts: Facts, media: Media | None, part: Part, muxer: str) -> Expected:
    """Return what the finished file must contain."""
    frames = part.count(facts.frames)
    times = facts.times[part.first : part.first + frames]
    if media is None:
        return Expected(frames, facts.rate, times=times)
    audio, subtitles, attachments, covers = (
        len(kept(media, muxer, kind)) for kind in ("audio", "subtitle", "attachment", "cover")
    )
    window = place(media, part, facts).window
    durations = tuple(window.share(stream.start, stream.end) for stream in kept(media, muxer, "audio"))
    return Expected(frames, facts.rate, audio, subtitles, attachments, covers, durations, times)


@dataclass(frozen=True, slots=True)
class Place:
    """Position of an output on the source's timeline, in seconds.

    Attributes:
        begin: time of its first frame.
        origin: the earlier of that frame and the audio before it.
        end: the end of its last frame, None where that is the end of the file.
        cut: packets before this are left out, None where there are none.
    """

    begin: Fraction
    origin: Fraction
    end: Fraction | None = None
    cut: Fraction | None = None

    def skip(self, before: Fraction = Fraction(0)) -> list[str]:
        """Input options that skip packets more than `before` seconds ahead of `cut`."""
        return [] if self.cut is None else ["-seek_timestamp", "1", "-ss", _seconds(self.cut - before)]

    def trim(self) -> str:
        """Return the filter that cuts decoded audio at both ends, "" where it may begin before the first frame."""
        if self.begin > self.origin or (self.cut is None and self.end is None):
            return ""
        return "atrim=start=0" + ("" if self.end is None else f":end={_seconds(self.end - self.begin)}")

    def cuts(self) -> list[str]:
        """Output options that set the end, and move everything before the first frame to zero."""
        before = [] if self.cut is None else ["-copypriorss", "0"]
        end = [] if self.end is None else ["-t", _seconds(self.end - self.begin)]
        later = ["-output_ts_offset", _seconds(self.begin - self.origin)] if self.begin > self.origin else []
        return [*before, *end, *later]

    @property
    def window(self) -> sidecar.Window:
        """The window of the source that is carried over."""
        return sidecar.Window(self.origin if self.cut is None else self.cut, self.end)


def place(media: Media, part: Part, facts: Facts) -> Place:
    """Place a part of the output on the source's timeline."""
    begin = media.start + facts.time(part.first)
    end = None if part.whole(facts.frames) else media.start + facts.time(part.first + part.count(facts.frames))
    if part.first > 0:
        return Place(begin, begin, end, begin)
    origin = min([begin, *(stream.start for stream in media.of("audio"))])
    return Place(begin, origin, end)


@dataclass(frozen=True, slots=True)
class Part:
    """Output frames `first` to `last`, both included; `last` None means to the end."""

    first: int = 0
    last: int | None = None

    def count(self, frames: int) -> int:
        """Number of its frames in a clip of this length."""
        return (frames if self.last is None else min(self.last + 1, frames)) - self.first

    def whole(self, frames: int) -> bool:
        """Whether it is the whole clip."""
        return self.count(frames) == frames


def video_filters(facts: Facts) -> list[str]:
    """Return ffmpeg filters that set tags without changing pixels."""
    codes = ((option, names, read_integer(facts.props, prop, -1)) for prop, option, names in _TAGS)
    tags = [f"{option}={names[code]}" for option, names, code in codes if code in names]
    if facts.pixels.startswith("gbr"):
        tags = ["colorspace=gbr", *(tag for tag in tags if not tag.startswith("colorspace="))]
    filters = ["setparams=" + ":".join(tags)] if tags else []
    across, down = (read_integer(facts.props, name, 0) for name in ("_SARNum", "_SARDen"))
    return [*filters, f"setsar={across}/{down}" if across > 0 and down > 0 else "null"]


def _chroma_location(facts: Facts) -> list[str]:
    """Return the location of chroma samples."""
    name = _CHROMA.get(read_integer(facts.props, "_ChromaLocation", -1))
    return ["-chroma_sample_location", name] if facts.chroma_420 and name else []


def encoder_arguments(facts: Facts, quality: Quality) -> list[str]:
    """Return the encoder, its settings and, for libx265, the HDR metadata of the clip."""
    arguments = ["-c:v:0", quality.encoder, *(["-pix_fmt:v:0", facts.encoded] if facts.encoded else [])]
    crf = quality.crf if quality.crf is not None else _FACTORS.get(quality.encoder)
    arguments += [] if crf is None else ["-crf", f"{crf:g}"]
    arguments += ["-preset", quality.preset] if quality.preset else []
    if quality.encoder == "libvpx-vp9":
        arguments += ["-b:v", "0", "-row-mt", "1"]  # only quality limits the rate, as with the other encoders
    if quality.encoder == "libx265":
        arguments += ["-x265-params", ":".join(["log-level=error", *x265_hdr(facts.props)])]
    if quality.encoder == "libsvtav1" and (parameters := svtav1_hdr(facts.props)):
        arguments += ["-svtav1-params", ":".join(parameters)]
    return arguments


def _tag(encoder: str, muxer: str) -> list[str]:
    """Return the codec tag that Apple's players require for HEVC in MP4 and MOV."""
    hevc = encoder == "libx265" or encoder.startswith("hevc_")
    return ["-tag:v:0", "hvc1"] if hevc and muxer in ("mp4", "mov") else []


def _seconds(time: Fraction) -> str:
    return f"{float(time):.6f}"
