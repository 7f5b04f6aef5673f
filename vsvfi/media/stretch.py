"""Slow motion: stretch a source's audio, subtitles and chapters with its frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

type SlowAudio = Literal["atempo", "rubberband", "drop"]
"""ffmpeg's filter that slows audio at constant pitch, or "drop" to leave audio out."""

_SLOWEST = 2
"""Largest factor of one atempo filter."""

_WINDOW = Fraction(2048, 48_000)
"""Length in seconds of the pieces of audio that atempo moves. A piece keeps its start, so what begins later inside it
is heard early, by up to this length per factor above 1."""

_EARLY = Fraction(32, 1000)
"""Seconds by which the output of rubberband is early, per factor above 1."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """How a source is stretched.

    Attributes:
        factor: how many times as long everything lasts.
        start: time of the first frame on the file's timeline, which becomes 0.
        audio: see `SlowAudio`.
    """

    factor: Fraction
    start: Fraction
    audio: SlowAudio = "atempo"

    def time(self, time: Fraction) -> Fraction:
        """Return where a time of the file is on the stretched timeline."""
        return (time - self.start) * self.factor

    def origin(self, time: Fraction) -> Fraction:
        """Return the time in the file of a time on the stretched timeline."""
        return self.start + time / self.factor

    def audio_filter(self) -> str:
        """Return ffmpeg's filters for audio that begins with the first frame at 0; gaps become silence."""
        aligned = "atrim=start=0,aresample=async=1:first_pts=0"
        rest, steps, late = self.factor, [], Fraction(0)
        if self.audio == "rubberband":
            steps, late, rest = [f"rubberband=tempo={float(1 / rest):.9g}"], _EARLY * (rest - 1), Fraction(1)
        while rest > 1:
            step = min(rest, Fraction(_SLOWEST))
            steps.append(f"atempo={float(1 / step):.9g}")
            late = late * step + _WINDOW * (step - 1)
            rest /= step
        return ",".join([aligned, *steps, f"asetpts=PTS+{float(late):.6f}/TB"])


def write_chapters(chapters: list[Any], stretch: Stretch, begin: Fraction, end: Fraction | None, target: Path) -> bool:
    """Write the chapters of a source as a metadata file for ffmpeg.

    Args:
        chapters: as PyAV states them.
        begin, end: of the output on the stretched timeline; `end` None for the end of the source.

    Returns:
        Whether there are any.
    """
    lines = [";FFMETADATA1"]
    for chapter in chapters:
        first, last = (
            stretch.time(chapter[name] * Fraction(chapter["time_base"])) - begin for name in ("start", "end")
        )
        if last <= 0 or (end is not None and first >= end - begin):
            continue
        stated = (max(first, Fraction(0)), last if end is None else min(last, end - begin))
        lines += ["[CHAPTER]", "TIMEBASE=1/1000000", *_stated(stated)]
        lines += [f"{_escaped(name)}={_escaped(value)}" for name, value in chapter["metadata"].items()]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines) > 1


def _stated(times: tuple[Fraction, Fraction]) -> list[str]:
    return [f"{name}={round(time * 1_000_000)}" for name, time in zip(("START", "END"), times, strict=True)]


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "=;#\\\n" else character for character in text)
