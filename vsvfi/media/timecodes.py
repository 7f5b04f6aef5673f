"""Read timecodes files: the times of a video's frames, as mkvextract, x264 and others write them.

Version 2 has a time in milliseconds per line. Version 1 has a rate ("assume 23.976") and ranges of frames with rates of
their own ("120,240,29.97").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from vsvfi.errors import VsvfiError
from vsvfi.media.times import standard_rate

_HEADER = re.compile(r"#\s*time(?:code|stamp) format v([12])", re.I)
_LARGEST = 1 << 26


def read_timecodes(path: Path, frames: int) -> tuple[Fraction, ...]:
    """Return the start of each frame in seconds, the first one at 0.

    Args:
        path: the file.
        frames: of the video; version 2 may have the end of the last one too.

    Raises:
        VsvfiError: it cannot be read, or does not suit the video.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(_LARGEST)
    except OSError as error:
        raise VsvfiError(f"timecodes {path} cannot be read ({error.strerror or error}); check the file") from error
    header, *lines = text.splitlines() or [""]
    match = _HEADER.match(header.lstrip("\ufeff"))
    if match is None:
        raise VsvfiError(f"timecodes {path} does not begin with '# timecode format v1' or v2; give such a file")
    rows = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    try:
        times = _stamps(rows) if match[1] == "2" else _ranges(rows, frames)
    except (ValueError, ZeroDivisionError, IndexError) as error:
        raise VsvfiError(f"timecodes {path} cannot be understood ({error}); give one time or range per line") from None
    if len(times) not in (frames, frames + 1) or any(later <= earlier for earlier, later in pairwise(times)):
        raise VsvfiError(
            f"timecodes {path} has {len(times)} times, the video {frames} frames; both numbers must "
            "be equal, and each time later than the one before"
        )
    return tuple(time - times[0] for time in times[:frames])


def _stamps(rows: Sequence[str]) -> list[Fraction]:
    return [Fraction(row) / 1000 for row in rows]


def _ranges(rows: Sequence[str], frames: int) -> list[Fraction]:
    word, usual = rows[0].split(maxsplit=1)
    if word.lower() != "assume":
        raise ValueError("it does not begin with 'assume'")
    rates = [standard_rate(Fraction(usual))] * frames
    for row in rows[1:]:
        first, last, own = row.split(",")
        begin, end = int(first), min(int(last), frames - 1)
        if begin < 0 or end < begin:
            raise ValueError(f"{row!r} is no range of frames")
        rates[begin : end + 1] = [standard_rate(Fraction(own.strip()))] * (end + 1 - begin)
    times = [Fraction(0)]
    for rate in rates:
        times.append(times[-1] + 1 / rate)
    return times
