"""Decide which source filter reads a file's frames exactly: lsmas, which is fast, or bestsource.

lsmas orders and finds frames by timestamps. bestsource decodes the file once and finds frames by what they show.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Bestsource(StrEnum):
    """How much a file needs bestsource."""

    UNNEEDED = ""
    BETTER = "better"
    """lsmas reads it from start to end, but may give other frames after a jump."""
    NEEDED = "needed"
    """lsmas gives other frames."""


_INEXACT = ("mpeg", "jpeg_pipe")
"""Formats in which lsmas may give other frames, or none, after a jump."""


def bestsource_for(demuxer: str, pts: Sequence[int | None], dts: Sequence[int | None]) -> Bestsource:
    """Return whether bestsource has to read a file.

    Args:
        demuxer: ffmpeg's name of the container format.
        pts: presentation timestamps of the packets, None where the container stores none.
        dts: decoding timestamps likewise.
    """
    if demuxer in _INEXACT:
        return Bestsource.BETTER
    incomplete = None in pts and None in dts and any(stamp is not None for stamp in (*pts, *dts))
    return Bestsource.NEEDED if incomplete else Bestsource.UNNEEDED
