"""Find what an encoder loses of a source's pixels and HDR metadata, to warn before the render starts."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from vsvfi.media.encoding import Facts
from vsvfi.media.hdr import light_levels, mastering
from vsvfi.media.pixels import SUBSAMPLING, Pixels, parse
from vsvfi.media.probe import Media
from vsvfi.media.program_output import program_output

_HDR_ENCODERS = ("libx265", "libsvtav1")


@functools.cache
def pixel_formats(ffmpeg: str, encoder: str) -> tuple[str, ...]:
    """Return the pixel formats that an ffmpeg's encoder accepts; empty if unknown."""
    described = program_output([ffmpeg, "-hide_banner", "-h", f"encoder={encoder}"]).decode(errors="replace")
    found = re.search(r"Supported pixel formats: (.*)", described)
    return tuple(found[1].split()) if found else ()


def pixel_losses(media: Media, facts: Facts) -> list[str]:
    """Return which properties of the source's pixels are lost between source filter and encoder."""
    have, kept = parse(media.pixels), parse(facts.encoded or facts.pixels)
    piped = parse(facts.pixels)
    lost = []
    if media.alpha and not (kept and piped and kept.alpha and piped.alpha):
        lost.append("transparency")
    if have is None or kept is None:
        return lost
    if have.family == "rgb" and kept.family != "rgb":
        lost.append(f"RGB (it becomes {_named(kept)})")
    elif have.family == "yuv" and kept.family == "rgb":
        lost.append("YUV (it becomes RGB)")
    elif have.family == "yuv" and kept.family == "gray":
        lost.append("colour")
    elif kept.across > have.across or kept.down > have.down:
        lost.append("part of the chroma resolution")
    if have.bits > kept.bits:
        lost.append(f"{have.bits} bits per sample ({kept.bits} are left)")
    return lost


def _named(pixels: Pixels) -> str:
    if pixels.family == "gray":
        return "gray"
    return f"YUV {SUBSAMPLING[pixels.across, pixels.down]}, BT.709"


def hdr_losses(media: Media, encoder: str, props: Mapping[str, Any]) -> list[str]:
    """Return which HDR metadata is lost."""
    static = mastering(props) is not None or light_levels(props) is not None
    return [*(["HDR10 metadata"] if static and encoder not in _HDR_ENCODERS else []), *media.dynamic_hdr]
