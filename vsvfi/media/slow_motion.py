"""A source in slow motion: everything lasts several times as long."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from vsvfi.media.probe import Media
from vsvfi.media.stretch import SlowAudio, Stretch


def slow_motion(media: Media, factor: Fraction, audio: SlowAudio) -> Media:
    """Return a source's properties with its first frame at 0 and all times stretched.

    Args:
        factor: how many times as long everything lasts.
        audio: how audio is slowed.
    """
    stretch = Stretch(factor, media.start, audio)
    streams = tuple(
        dataclasses.replace(
            stream, start=max(stretch.time(stream.start), Fraction(0)), end=stretch.time(stream.end), hidden=False
        )
        for stream in media.streams
        if stream.kind != "audio" or audio != "drop"
    )
    return dataclasses.replace(
        media,
        start=Fraction(0),
        rate=media.rate / factor,
        streams=streams,
        times=tuple(map(stretch.time, media.times)),
        stamps=tuple(map(stretch.time, media.stamps)),
        stretch=stretch,
    )
