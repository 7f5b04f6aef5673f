"""Choose the encoder's pixel format that loses least of a clip.

Frames go to ffmpeg as raw planes, in a planar format of the same kind as the encoder's (`carrier`); ffmpeg then only
packs them, and every colour conversion is VapourSynth's. Only `parse` uses PyAV.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vsvfi.media.pyav import pyav

_FAMILIES = ("yuv", "rgb", "gray")
"""Families to use instead if a family cannot be kept."""

_BITS = (8, 9, 10, 12, 14, 16)
SUBSAMPLING = {(0, 0): "4:4:4", (1, 0): "4:2:2", (1, 1): "4:2:0", (0, 1): "4:4:0", (2, 0): "4:1:1", (2, 2): "4:1:0"}
"""Names by the base-2 logarithms of the subsampling across and down."""

_HARDWARE = (
    "_nvenc",
    "_qsv",
    "_amf",
    "_vaapi",
    "_videotoolbox",
    "_mf",
    "_v4l2m2m",
    "_vulkan",
    "_d3d12va",
    "_mediacodec",
)
"""Encoders that turn packed RGB into YUV, without its transparency."""

_YUV_FIRST = ("libx265", "libvpx-vp9", "libaom-av1", "librav1e")
"""Encoders whose RGB few players support; used for RGB only on request."""

_ALPHA_BESIDE = ("libvpx", "libvpx-vp9")
"""Encoders that put alpha into packets beside the image's, which only these containers hold:"""
_HOLDS_BESIDE = ("webm", "matroska")


@dataclass(frozen=True, slots=True)
class Pixels:
    """A pixel format.

    Attributes:
        family: "rgb", "yuv" or "gray".
        bits: of a sample.
        across, down: base-2 logarithms of the chroma subsampling.
        alpha: it has transparency.
        name: ffmpeg's name, "" for that of a clip.
    """

    family: str
    bits: int
    across: int = 0
    down: int = 0
    alpha: bool = False
    name: str = ""


@functools.cache
def parse(name: str) -> Pixels | None:
    """Parse an ffmpeg format; None for palettes, floating point, hardware surfaces and the like."""
    try:
        description = pyav().VideoFormat(name)
    except ValueError:
        return None  # newer than PyAV
    colours = [component for component in description.components if not component.is_alpha]
    odd = (
        description.has_palette
        or description.is_bit_stream
        or name.startswith(("bayer", "xyz"))
        or "f16" in name
        or "f32" in name
    )
    if odd or not colours or not 1 < max(component.bits for component in colours) <= 16:
        return None
    family = "rgb" if description.is_rgb else "gray" if len(colours) == 1 else "yuv"
    shifts = (
        [0, 0]
        if family != "yuv"
        else [(16 // size).bit_length() - 1 for size in (description.chroma_width(16), description.chroma_height(16))]
    )
    return Pixels(family, colours[0].bits, shifts[0], shifts[1], len(colours) < len(description.components), name)


def taken(names: Iterable[str], encoder: str, muxer: str, *, rgb: bool = False) -> tuple[Pixels, ...]:
    """Return the formats that an encoder keeps unchanged; empty if unknown.

    Args:
        names: ffmpeg's names of the formats that it accepts.
        encoder: its name.
        muxer: ffmpeg's name of the container format.
        rgb: accept RGB even if few players support it.
    """
    found = [pixels for pixels in map(parse, names) if pixels is not None and pixels.bits >= 8]
    if encoder.endswith(_HARDWARE):
        found = [pixels for pixels in found if pixels.family != "rgb" or pixels.name.startswith("gbr")]
    if encoder in _YUV_FIRST and not rgb:
        found = [pixels for pixels in found if pixels.family != "rgb"]
    if encoder in _ALPHA_BESIDE and muxer not in _HOLDS_BESIDE:
        found = [pixels for pixels in found if not pixels.alpha]
    return tuple(pixels for pixels in found if not (pixels.alpha and pixels.family == "gray"))


def choose(have: Pixels, takes: Sequence[Pixels]) -> Pixels | None:
    """Return the format to encode in: the one that loses least, then the one that adds least.

    None if none is known.
    """

    def cost(pixels: Pixels) -> tuple[int, ...]:
        across, down = pixels.across - have.across, pixels.down - have.down
        return (
            have.alpha and not pixels.alpha,
            0 if pixels.family == have.family else _FAMILIES.index(pixels.family) + 1,
            max(0, have.bits - pixels.bits),
            max(0, across) + max(0, down),
            pixels.alpha and not have.alpha,
            max(0, -across) + max(0, -down),
            max(0, pixels.bits - have.bits),
        )

    return min(takes, key=cost, default=None)


def carrier(pixels: Pixels) -> Pixels:
    """Return the planar format for the pipe: of the same kind, with as many bits or a few more."""
    bits = next((bits for bits in _BITS if bits >= pixels.bits and _exists(pixels, bits)), 16)
    depth = "" if bits == 8 else f"{bits}le"
    letter = "a" if pixels.alpha else ""
    match pixels.family:
        case "rgb":
            name = f"gbr{letter}p{depth}"
        case "gray":
            name = f"gray{depth}"
        case _:
            name = f"yuv{letter}{SUBSAMPLING[pixels.across, pixels.down].replace(':', '')}p{depth}"
    return dataclasses.replace(pixels, bits=bits, name=name)


def carried_over(have: Pixels) -> Pixels:
    """Return the carrier of a clip for an encoder whose formats are unknown."""
    if have.alpha and have.family == "gray":
        have = dataclasses.replace(have, family="yuv")
    if have.family == "yuv":
        subsampled = (have.across, have.down)
        plain = subsampled in SUBSAMPLING and (not have.alpha or subsampled in ((0, 0), (1, 0), (1, 1)))
        plain = plain and any(_exists(have, bits) for bits in _BITS if bits >= have.bits)
        have = have if plain else dataclasses.replace(have, across=0, down=0)
    return carrier(have)


def _exists(pixels: Pixels, bits: int) -> bool:
    """Return whether ffmpeg has a planar format of this kind and depth."""
    subsampled = (pixels.across, pixels.down)
    if pixels.family == "rgb":
        return not pixels.alpha or bits in (8, 10, 12, 16)
    if pixels.alpha:
        return bits in (8, 9, 10, 16) or (bits == 12 and subsampled != (1, 1))
    if subsampled == (0, 1):
        return bits in (8, 10, 12)
    return bits == 8 or subsampled not in ((2, 0), (2, 2))
