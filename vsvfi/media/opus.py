"""Keep Opus in sync in Matroska and WebM, whose ffmpeg muxer once ignored the decoder's delay.

A block's time includes the codec's delay, which readers subtract. Old muxers (ffmpeg 5.1) move the video by it
instead, so that audio is 6.5 ms early; newer ones are right. The installed muxer is tested, and audio is moved if
necessary.
"""

from __future__ import annotations

import functools
import io
from fractions import Fraction

from vsvfi.media.program_output import program_output
from vsvfi.media.pyav import pyav

ENCODED_DELAY = Fraction(312, 48000)
"""Seconds that ffmpeg's libopus encoder puts before the first sample."""


def delay_of(codec: str, header: bytes | None) -> Fraction:
    """Return the delay in seconds that a stream's header states; 0 for other codecs than Opus."""
    if codec != "opus" or header is None or len(header) < 12:
        return Fraction(0)
    return Fraction(int.from_bytes(header[10:12], "little"), 48000)


def forgets_delay(ffmpeg: str, muxer: str) -> bool:
    """Return whether an ffmpeg writes Opus into a container earlier than it should."""
    return muxer in ("matroska", "webm") and _tried(ffmpeg)


@functools.cache
def _tried(ffmpeg: str) -> bool:
    silence, video = ("-f", "lavfi", "-i", "anullsrc=r=48000"), ("-f", "lavfi", "-i", "color=s=16x16:r=25")
    coded = ("-t", "0.08", "-c:a", "libopus", "-c:v", "rawvideo", "-f", "matroska", "-")
    try:
        written = program_output([ffmpeg, "-v", "quiet", *silence, *video, *coded])
        with pyav().open(io.BytesIO(written)) as container:
            first: dict[str, Fraction] = {}
            for packet in container.demux():
                if packet.pts is not None:
                    first.setdefault(packet.stream.type, packet.pts * packet.time_base)
    except (OSError, ValueError):  # without libopus or lavfi there is nothing to correct
        return False
    return first.get("video", Fraction(0)) - first.get("audio", Fraction(0)) > ENCODED_DELAY * Fraction(3, 2)
