"""The source of a render: a file, with the times of its frames, the stretch of it and the user's own steps."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsvfi import options
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.media.encoding import Part
from vsvfi.media.probe import Media
from vsvfi.media.timecodes import read_timecodes
from vsvfi.media.times import judge

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Source:
    """What is rendered.

    Attributes:
        path: the video file.
        trim: begin and end on the source's own time from its first frame, in seconds; no end for the file's.
        filter: a script with the user's own steps, see `vsvfi.cli.steps`.
        timecodes: a file with the times of the frames.
    """

    path: Path
    trim: tuple[Fraction, Fraction | None] | None = None
    filter: Path | None = None
    timecodes: Path | None = None

    def timed(self, media: Media) -> Media:
        """Return a source's properties with the times of the timecodes file, if one is given.

        Raises:
            VsvfiError: the file cannot be read, or has times for another number of frames.
        """
        if self.timecodes is None:
            return media
        times = read_timecodes(self.timecodes, media.frames)
        rate, constant = judge(times)
        ends = () if constant else tuple(media.start + time for time in (*times, times[-1] + 1 / rate))
        return dataclasses.replace(media, rate=rate, constant=constant, times=ends)

    def part(self, part: Part, media: Media, checked: options.Options) -> Part:
        """Return the output frames of the stretch, or `part` where none is given.

        Raises:
            ArgumentError: the stretch holds no frame.
        """
        if self.trim is None:
            return part
        rate = checked.fps or media.rate * checked.multi
        begin, end = self.trim
        first = -(-begin * rate // 1)
        last = None if end is None else -(-end * rate // 1) - 1
        if begin >= media.frames / media.rate and media.constant:
            raise ArgumentError(
                "trim",
                f"{float(begin):g} s",
                f"the source ends after {float(media.frames / media.rate):.3f} s",
                "give an earlier time",
            )
        return Part(int(first), None if last is None else max(int(last), int(first)))

    def identity(self) -> str:
        """Return what distinguishes it from the same file without options."""
        parts = [str(self.trim or "")]
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
    return Source(arguments.video, trim, arguments.filter, arguments.timecodes)


def parse_trim(text: str) -> tuple[Fraction, Fraction | None]:
    """Parse a stretch such as 00:01:00-00:02:30, 90.5- or -1:30.

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
