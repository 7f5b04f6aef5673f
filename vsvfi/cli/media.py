"""What a render must know of a video file beyond its pictures: when its frames are shown, and which other streams it has. Asks ffmpeg, decodes nothing.

A y4m pipe carries one constant rate and starts at zero. So a file is either constant enough for that, or the rate to bring it to must be known;
and the time its first frame is shown at must be given back, or sound and picture part.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median_low

from vsvfi.errors import VsvfiError

_STREAM = re.compile(r"Stream #0:\d+.*?: (Audio|Subtitle|Attachment): (\w+)")
_AUDIBLE = Fraction(1, 40)
"""Seconds by which a picture may be off before it counts; sound 45 ms early is the least that viewers are said to notice."""


@dataclass(frozen=True, slots=True)
class Media:
    """A video file.

    Attributes:
        path: the file.
        frames: number of frames of its first video stream.
        offset: seconds from the start of the file to the first frame.
        rate: its frame rate where it is constant; else the rate most of its frames have.
        constant: no frame is off by more than half a frame (or 25 ms) from where a constant rate would show it.
        audio, subtitles: codec names of the other streams, in order.
        attachments: it carries attached files, such as fonts.
    """

    path: Path
    frames: int
    offset: Fraction
    rate: Fraction
    constant: bool
    audio: tuple[str, ...] = ()
    subtitles: tuple[str, ...] = ()
    attachments: bool = False


def probe(path: Path, ffmpeg: str) -> Media:
    """Read the packets of a file, without decoding them.

    Raises:
        VsvfiError: ffmpeg cannot read it, or it has no video.
    """
    command = [ffmpeg, "-hide_banner", "-nostdin", "-i", str(path), "-map", "0:V:0", "-c", "copy", "-f", "framecrc", "-"]
    read = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
    listing = read.stderr.partition("Stream mapping:")[0]
    if read.returncode != 0:
        if "matches no streams" in read.stderr:
            raise VsvfiError(f"{path} has no video stream; give a video file")
        raise VsvfiError(f"{path} cannot be read as video: {last_line(read.stderr, 'ffmpeg gave no reason')}")
    times = _times(read.stdout)
    if not times:
        raise VsvfiError(f"{path} holds no video frames; give another file")
    rate, constant = judge(times)
    streams = _STREAM.findall(listing)
    return Media(
        path=path,
        frames=len(times),
        offset=times[0],
        rate=rate,
        constant=constant,
        audio=tuple(codec for kind, codec in streams if kind == "Audio"),
        subtitles=tuple(codec for kind, codec in streams if kind == "Subtitle"),
        attachments=any(kind == "Attachment" for kind, _ in streams),
    )


def _times(framecrc: str) -> list[Fraction]:
    """Presentation times in seconds, in order, from what ffmpeg's framecrc muxer lists: stream, dts, pts, duration, size, checksum."""
    base = Fraction(1)
    stamps: list[int] = []
    for line in framecrc.splitlines():
        if line.startswith("#tb"):
            base = Fraction(line.rpartition(" ")[2])
        elif line[:1].isdigit():
            stamp = line.split(",")[2].strip()
            if stamp.lstrip("-").isdigit():
                stamps.append(int(stamp))
    return [stamp * base for stamp in sorted(stamps)]


def judge(times: list[Fraction]) -> tuple[Fraction, bool]:
    """The frame rate of these presentation times, and whether it is constant."""
    if len(times) < 2 or times[-1] == times[0]:
        return Fraction(25), True
    period = (times[-1] - times[0]) / (len(times) - 1)
    allowed = max(period / 2, _AUDIBLE)
    if all(abs(time - times[0] - index * period) <= allowed for index, time in enumerate(times)):
        return standard_rate(1 / period), True
    usual = median_low([later - earlier for earlier, later in pairwise(times) if later > earlier])
    return standard_rate(1 / usual), False


def standard_rate(rate: Fraction) -> Fraction:
    """A measured rate as the exact rate it stands for: 23.976 is 24000/1001; timestamps in milliseconds do not say so themselves."""
    whole = Fraction(round(rate))
    ntsc = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    nearest = min((whole, ntsc), key=lambda candidate: abs(candidate - rate))
    if nearest > 0 and abs(nearest - rate) * 2000 < rate:
        return nearest
    return rate.limit_denominator(1001)


def last_line(text: str, otherwise: str) -> str:
    """The last line that says something, without the program's own prefix."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    return re.sub(r"^\[[^\]]*\]\s*", "", lines[-1]) if lines else otherwise
