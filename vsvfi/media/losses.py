"""What of a source's pixels and HDR metadata an encoder cannot take, to be said before hours are spent."""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Mapping
from typing import Any

from vsvfi.media.hdr import light_levels, mastering
from vsvfi.media.probe import Media
from vsvfi.media.pyav import pyav

_HDR_ENCODERS = ("libx265", "libsvtav1")


@functools.cache
def pixel_formats(ffmpeg: str, encoder: str) -> tuple[str, ...]:
    """Names of the pixel formats that an encoder of an ffmpeg takes; empty where it does not say."""
    command = [ffmpeg, "-hide_banner", "-h", f"encoder={encoder}"]
    told = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
    found = re.search(r"Supported pixel formats: (.*)", told.stdout)
    return tuple(found[1].split()) if found else ()


def depth(ffmpeg: str, encoder: str) -> int:
    """Most bits per sample that an encoder takes of planar YUV; 10 where it does not say."""
    bits = [int(match[1] or 8) for name in pixel_formats(ffmpeg, encoder) if (match := re.fullmatch(r"yuv4\d\dp(\d+)?(?:le)?", name))]
    return max(bits, default=10)


def pixel_losses(pixels: str, formats: tuple[str, ...]) -> list[str]:
    """Return what of a source's pixel format is lost: transparency and RGB on the way, depth and chroma in the encoder."""
    av = pyav()
    form = av.VideoFormat(pixels)
    known = {name: av.VideoFormat(name) for name in formats if re.fullmatch(r"(yuvj?4|gray|gbrp|yuva4)\w*?(le)?", name)}
    lost = []
    if any(component.is_alpha for component in form.components):
        lost.append("transparency")
    if form.is_rgb:
        lost.append("RGB (it becomes YUV 4:4:4, BT.709)")
    bits = max(component.bits for component in form.components)
    most = max((other.components[0].bits for other in known.values()), default=bits)
    if bits > most:
        lost.append(f"{bits} bits per sample ({most} are left)")
    width, height = (8, 8) if form.is_rgb else (form.chroma_width(8), form.chroma_height(8))
    finest = [(other.chroma_width(8), other.chroma_height(8)) for other in known.values()]
    if finest and not any(wide >= width and high >= height for wide, high in finest):
        lost.append("part of the chroma resolution")
    return lost


def hdr_losses(media: Media, encoder: str, props: Mapping[str, Any]) -> list[str]:
    """Return which HDR metadata is lost."""
    static = mastering(props) is not None or light_levels(props) is not None
    return [*(["HDR10 metadata"] if static and encoder not in _HDR_ENCODERS else []), *media.dynamic_hdr]
