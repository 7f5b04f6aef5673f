"""The source of a render: a file or images, with the times of its frames, a section of it, and the user's steps."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

from vsvfi import options
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.jobs.manifest import file_identity, files_identity
from vsvfi.media.encoding import Part, container
from vsvfi.media.image_sequence import ImageSequence, find_images, is_sequence, parse_rate, probe_images
from vsvfi.media.probe import Media, probe
from vsvfi.media.slow_motion import slow_motion
from vsvfi.media.split_times import split_times
from vsvfi.media.stretch import SlowAudio
from vsvfi.media.timecodes import read_timecodes
from vsvfi.media.times import judge

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Source:
    """What is rendered.

    Attributes:
        path: the video file, or the first of the images.
        trim: begin and end on the source's own time from its first frame, in seconds; no end for the file's.
        filter: a script with the user's own steps, see `vsvfi.cli.steps`.
        timecodes: a file with the times of the frames.
        images: the images, None for a video file.
        rate: of the images.
        vfr: the output keeps the frames' own times.
        slow: how many times as long the output lasts.
        slow_audio: how audio is slowed.
    """

    path: Path
    trim: tuple[Fraction, Fraction | None] | None = None
    filter: Path | None = None
    timecodes: Path | None = None
    images: ImageSequence | None = None
    rate: Fraction = Fraction(0)
    vfr: bool = False
    slow: Fraction = Fraction(1)
    slow_audio: SlowAudio = "atempo"

    def probe(self, readable: Path) -> Media:
        """Return the source's properties.

        Args:
            readable: a name of the video that source filters accept.

        Raises:
            VsvfiError: it cannot be read, or does not suit the timecodes file.
        """
        media = self.timed(probe(readable) if self.images is None else probe_images(self.images, self.rate))
        return media if self.slow == 1 else slow_motion(media, self.slow, self.slow_audio)

    def slowed(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the arguments of `interpolate()` for the slowed source, which keeps its rate unless another is given.

        Raises:
            ArgumentError: one of them is wrong.
        """
        if self.slow == 1:
            return arguments
        checked = options.parse(**arguments)
        if checked.fps is not None:
            return arguments
        return {**arguments, "multi": str(self.slow * (checked.multi if arguments.get("multi") is not None else 1))}

    def timed(self, media: Media) -> Media:
        """Return a source's properties with the times of the timecodes file, if one is given.

        Raises:
            VsvfiError: the file cannot be read, or has times for another number of frames.
        """
        if self.timecodes is None:
            return media
        times = read_timecodes(self.timecodes, media.frames)
        rate, constant = judge(times, exact=True)
        ends = tuple(media.start + time for time in (*times, times[-1] + 1 / rate))
        return dataclasses.replace(media, rate=rate, constant=constant, times=() if constant else ends, stamps=ends)

    def kept_times(self, media: Media, checked: options.Options, output: Path) -> tuple[Fraction, ...]:
        """Return the times of the source's frames that the output keeps, and the end of the last; none without --vfr.

        Raises:
            VsvfiError: they cannot be kept.
        """
        if not self.vfr:
            return ()
        if checked.fps is not None:
            raise ArgumentError("vfr", True, "keeps the times of the source's frames, and --fps sets others", "use one")
        if checked.multi.denominator != 1:
            raise ArgumentError(
                "multi", str(checked.multi), "must be whole with --vfr, which keeps all frames", "use 2"
            )
        if container(output) not in ("matroska", "webm"):
            raise VsvfiError(f"--vfr needs a container that has a time for each frame; write .mkv instead of {output}")
        if not media.stamps:
            raise VsvfiError(f"{self.path} has no time for each frame, so --vfr cannot keep them; leave it out")
        if any(later <= earlier for earlier, later in pairwise(media.stamps)):
            raise VsvfiError(f"{self.path} has frames with equal times, so --vfr cannot keep them; use --fps")
        return media.stamps

    def part(self, part: Part, media: Media, checked: options.Options) -> Part:
        """Return the output frames of the section that `trim` names, or `part` without `trim`.

        Raises:
            ArgumentError: the section contains no frame.
        """
        if self.trim is None:
            return part
        if self.vfr:
            return self._kept_part(*self.trim, media, int(checked.multi))
        rate = checked.fps or media.rate * checked.multi
        begin, end = (None if time is None else time * self.slow for time in self.trim)
        assert begin is not None
        first = -(-begin * rate // 1)
        last = None if end is None else -(-end * rate // 1) - 1
        if begin >= media.frames / media.rate and media.constant:
            raise ArgumentError(
                "trim",
                f"{float(begin / self.slow):g} s",
                f"the source ends after {float(media.frames / media.rate / self.slow):.3f} s",
                "give an earlier time",
            )
        return Part(int(first), None if last is None else max(int(last), int(first)))

    def _kept_part(self, begin: Fraction, end: Fraction | None, media: Media, factor: int) -> Part:
        times = [time / self.slow for time in split_times(media.stamps, factor)[:-1]]
        first = bisect_left(times, begin)
        if first == len(times):
            raise ArgumentError(
                "trim", f"{float(begin):g} s", f"the last frame is at {float(times[-1]):.3f} s", "give an earlier time"
            )
        return Part(first, None if end is None else max(bisect_left(times, end) - 1, first))

    def content(self) -> str:
        """Return the identity of the file, or of the images."""
        return file_identity(self.path) if self.images is None else files_identity(self.images.files)

    def identity(self) -> str:
        """Return what distinguishes it from the same file without options."""
        parts = [str(self.trim or "")]
        if self.images is not None:
            parts.append(f"{self.rate} images/s to {self.images.numbers[-1]}")
        parts += ["times kept"] if self.vfr else []
        parts += [f"{self.slow} times as long, audio {self.slow_audio}"] if self.slow != 1 else []
        for path in (self.filter, self.timecodes):
            parts.append("" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()[:16])
        return " ".join(parts).strip()

    def files(self) -> list[Path]:
        """Return the files that it is made of."""
        return [path for path in (self.path, self.filter, self.timecodes) if path is not None]


def add_source_options(parser: Any) -> None:
    """Add the options to a parser or a group of one."""
    parser.add_argument("--trim", metavar="BEGIN-END", help="a stretch of the source: 00:01:00-00:02:30, or 90.5-")
    parser.add_argument("--filter", metavar="FILE.vpy", type=Path, help="your own steps: before(clip) and after(clip)")
    parser.add_argument(
        "--vfr", action="store_true", help="keep the times of the source's frames, and divide those between (.mkv)"
    )
    parser.add_argument("--slow", metavar="N", help="slow motion: N times as long, at the source's rate")
    parser.add_argument(
        "--slow-audio",
        choices=get_args(SlowAudio.__value__),
        help="with --slow: ffmpeg's filter that slows the audio (default: atempo), or drop",
    )
    parser.add_argument("--rate", metavar="N", help="images per second, for a folder or a pattern of images")
    parser.add_argument(
        "--gaps",
        choices=("refuse", "close", "fill"),
        help="missing numbers of images: refuse (default), close up, or fill by interpolation (with --fps)",
    )
    parser.add_argument(
        "--timecodes", metavar="FILE", type=Path, help="times of the source's frames, as of mkvextract or x264 (v1, v2)"
    )


def source_of(arguments: argparse.Namespace) -> Source:
    """Return the source from the options.

    Raises:
        ArgumentError: two options contradict each other.
        VsvfiError: a file is missing.
    """
    if arguments.trim is not None and (arguments.start or arguments.end is not None):
        raise ArgumentError("trim", arguments.trim, "contradicts --start and --end", "give one of them")
    for name in ("filter", "timecodes"):
        path = getattr(arguments, name)
        if path is not None and not path.is_file():
            raise VsvfiError(f"--{name} {path} is not a file; give one")
    trim = None if arguments.trim is None else parse_trim(arguments.trim)
    source = Source(arguments.video, trim, arguments.filter, arguments.timecodes, vfr=arguments.vfr)
    if arguments.slow is not None:
        source = dataclasses.replace(
            source, slow=_slowness(arguments.slow), slow_audio=arguments.slow_audio or "atempo"
        )
    elif arguments.slow_audio is not None:
        raise ArgumentError("slow-audio", arguments.slow_audio, "is for slow motion", "give --slow N too")
    if not is_sequence(arguments.video):
        for name in ("rate", "gaps"):
            if getattr(arguments, name) is not None:
                raise ArgumentError(name, getattr(arguments, name), "is for images, not for a video", "leave it out")
        return source
    if arguments.rate is None:
        raise ArgumentError("rate", None, "images have no rate of their own", "give one, for example --rate 24")
    images = find_images(arguments.video, arguments.gaps or "refuse")
    return dataclasses.replace(source, path=images.files[0], images=images, rate=parse_rate(arguments.rate))


def _slowness(text: str) -> Fraction:
    try:
        factor = Fraction(text)
    except (ValueError, ZeroDivisionError):
        factor = Fraction(0)
    if not 1 < factor <= 64:
        raise ArgumentError("slow", text, "must be a number above 1 and up to 64", "give for example --slow 4 or 5/2")
    return factor


def parse_trim(text: str) -> tuple[Fraction, Fraction | None]:
    """Parse a section such as 00:01:00-00:02:30, 90.5- or -1:30.

    Raises:
        ArgumentError: it is none.
    """
    begin, separator, end = text.partition("-")
    first, last = _seconds(begin.strip() or "0"), _seconds(end.strip() or "0")
    if not separator or first is None or last is None or (end.strip() and last <= first):
        raise ArgumentError("trim", text, "must be BEGIN-END with the later time last", "give it as 00:01:00-00:02:30")
    return first, last if end.strip() else None


def _seconds(text: str) -> Fraction | None:
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)
