"""Settings of a render's encoder that follow from the encoder, the source and the container, and what they lose."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from vsvfi.cli.console import say
from vsvfi.cli.programs import Encoder, has_filter
from vsvfi.cli.source import Source
from vsvfi.errors import VsvfiError
from vsvfi.media import encoder_args
from vsvfi.media.carried import left_behind
from vsvfi.media.codecs import audio_notes, slow_notes
from vsvfi.media.encoding import Facts, Quality
from vsvfi.media.losses import hdr_losses, pixel_formats, pixel_losses
from vsvfi.media.pixels import Pixels, parse, taken
from vsvfi.media.probe import Media


def encoder_options(encoder: Encoder, quality: Quality) -> tuple[str, ...]:
    """Return the user's encoder options, checked."""
    return tuple(encoder_args.parse(quality.more, encoder.ffmpeg, encoder.name)) if quality.more else ()


def check_slow_audio(ffmpeg: str, source: Source) -> None:
    """Raise if an ffmpeg lacks the filter that is to slow the audio.

    Raises:
        VsvfiError: with the remedy.
    """
    if source.slow != 1 and source.slow_audio != "drop" and not has_filter(ffmpeg, source.slow_audio):
        raise VsvfiError(f"ffmpeg at {ffmpeg} has no filter {source.slow_audio}; use another one with --slow-audio")


def report_notes(encoder: Encoder, media: Media | None, muxer: str) -> None:
    """Report which encoder and which audio codecs are replaced."""
    notes = [encoder.note] if encoder.note else []
    about = audio_notes if media is None or media.stretch is None else slow_notes
    for note in notes + about(muxer, media.audio if media is not None else ()):
        say(note)


def formats(media: Media | None, encoder: Encoder, muxer: str, more: Sequence[str]) -> dict[str, Any]:
    """Return what render.vpy needs to choose a pixel format."""
    source = parse(media.pixels) if media is not None else None
    return {
        "takes": [dataclasses.asdict(pixels) for pixels in takes(encoder, muxer, more)],
        "bits": source.bits if source is not None else None,
    }


def takes(encoder: Encoder, muxer: str, more: Sequence[str]) -> tuple[Pixels, ...]:
    """Return the pixel formats that an encoder accepts.

    A `-pix_fmt` of the user limits them to that one; RGB is included for it and for lossless encoding.
    """
    asked = [value for name, value in zip(more[::2], more[1::2]) if name.partition(":")[0] == "-pix_fmt"]
    given = dict(zip(more[::2], more[1::2]))
    lossless = given.get("-lossless") == "1" or any("lossless=1" in value.split(":") for value in given.values())
    names = asked[-1:] or pixel_formats(encoder.ffmpeg, encoder.name)
    return taken(names, encoder.name, muxer, rgb=bool(asked) or lossless)


def report_losses(media: Media, muxer: str, encoder: Encoder, facts: Facts) -> None:
    """Report in one line what is not carried over to the output."""
    lost = [*pixel_losses(media, facts), *hdr_losses(media, encoder.name, facts.props), *left_behind(media, muxer)]
    if lost:
        say(f"not carried over ({encoder.name}, {media.path.suffix} to {muxer}): {', '.join(lost)}")
