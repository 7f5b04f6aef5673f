"""Read images in their display orientation, and write PNG of 8 and 16 bits.

PyAV does both: it keeps 16 bits and reads the EXIF orientation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsvfi.errors import VsvfiError
from vsvfi.files import replace
from vsvfi.media.exif import turn_and_profile
from vsvfi.media.pyav import pyav

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pnm", ".pam", ".dpx")
"""Suffixes of images in a folder."""


@dataclass(frozen=True, slots=True)
class Still:
    """An image.

    Attributes:
        colour: [H, W, 3], uint8 or uint16 of the full range.
        alpha: [H, W] of the same type, None without transparency.
        grey: it has no colour; all channels are equal.
        profile: it has a colour profile, which is not read.
    """

    colour: NDArray[Any]
    alpha: NDArray[Any] | None = None
    grey: bool = False
    profile: bool = False

    @property
    def bits(self) -> int:
        """Bits per sample: 8 or 16."""
        return 8 * self.colour.dtype.itemsize

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.colour.shape[1], self.colour.shape[0]


def read_still(path: Path) -> Still:
    """Read an image in its display orientation.

    Raises:
        VsvfiError: the file is not an image, holds several, or has samples that PNG cannot hold.
    """
    av = pyav()
    try:
        with av.open(f"file:{path}") as container:
            codec = container.streams.video[0].codec_context.name
            frames = container.decode(container.streams.video[0])
            frame = next(frames, None)
            several = frame is not None and next(frames, None) is not None
    except (av.FFmpegError, IndexError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or "it has no image"
        raise VsvfiError(f"{path} cannot be read as an image: {reason}") from None
    if frame is None:
        raise VsvfiError(f"{path} cannot be read as an image: it has no decodable frame")
    if codec == "mjpeg" and frame.format.name.startswith("gbra"):
        raise VsvfiError(f"{path} is a CMYK image; convert it to RGB first")
    if several:
        raise VsvfiError(f"{path} contains several images; interpolate it with 'vsvfi render'")
    return _still(frame, path)


def write_png(path: Path, still: Still, *, overwrite: bool = False) -> None:
    """Write an image as PNG of its bit depth.

    Raises:
        FileExistsError: the file exists, and `overwrite` is not set.
    """
    write_new(path, png(still), overwrite=overwrite)


def png(still: Still) -> bytes:
    """Encode an image as PNG."""
    if still.grey and still.alpha is None:
        pixel_format, pixels = ("gray16be" if still.bits == 16 else "gray"), still.colour[..., 0]
    elif still.alpha is None:
        pixel_format, pixels = ("rgb48be" if still.bits == 16 else "rgb24"), still.colour
    else:
        pixel_format = "rgba64be" if still.bits == 16 else "rgba"
        pixels = np.concatenate((still.colour, still.alpha[..., None]), -1)
    av = pyav()
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=pixel_format)
    context = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt, context.time_base = *still.size, pixel_format, Fraction(1, 25)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def write_new(path: Path, content: bytes, *, overwrite: bool = False) -> None:
    """Write a file that appears under its name when it is complete.

    Raises:
        FileExistsError: the file exists, and `overwrite` is not set.
    """
    if not overwrite:
        with path.open("xb") as file:
            file.write(content)
        return
    part = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        part.write_bytes(content)
        replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def exactly_converted(frame: Any, pixel_format: str, matrix: str = "auto", *, limited: bool | None = None) -> Any:
    """Convert a frame's pixel format with interpolated chroma, unlike PyAV's default.

    Args:
        frame: YUV.
        pixel_format: target pixel format, of 16 bits: with fewer, the nearest chroma sample is used.
        matrix: "601", "709", or "auto" for the frame's own.
        limited: range of its samples, None for the frame's own.
    """
    graph = pyav().filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format.name, time_base=Fraction(1, 25)
    )
    given = f"in_color_matrix={'auto' if matrix == 'auto' else 'bt' + matrix}"
    if limited is not None:
        given += f":in_range={'tv' if limited else 'pc'}"
    scale = graph.add("scale", f"{given}:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp")
    last = graph.add("format", pixel_format)
    sink = graph.add("buffersink")
    source.link_to(scale)
    scale.link_to(last)
    last.link_to(sink)
    graph.configure()
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    source.push(frame)
    return sink.pull()


def eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Round samples of 16 bits to 8."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _still(frame: Any, path: Path) -> Still:
    """Convert a decoded frame to an image."""
    described = frame.format
    bits = max(component.bits for component in described.components)
    if bits > 16 or re.search(r"f(16|32)(le|be)$", described.name):
        raise VsvfiError(f"{path} has floating-point samples ({described.name}); save it as a PNG of 16 bits")
    alpha = described.has_palette or any(component.is_alpha for component in described.components)
    grey = (
        len([component for component in described.components if not component.is_alpha]) == 1
        and not described.has_palette
    )
    deep = bits > 8
    coded = described.name.startswith("yuv")
    wanted = ("rgba64le" if deep or coded else "rgba") if alpha else ("rgb48le" if deep or coded else "rgb24")
    turn, profile = turn_and_profile(path.read_bytes())
    converted = exactly_converted(frame, wanted) if coded else frame.reformat(format=wanted)
    pixels = converted.to_ndarray() if deep or not coded else eight_bits(converted.to_ndarray())
    for step in turn:
        pixels = TURNS[step](pixels)
    pixels = np.ascontiguousarray(pixels)
    transparent = pixels[..., 3] if alpha else None
    if described.has_palette and transparent is not None and transparent.min() == 255:
        transparent = None
    return Still(np.ascontiguousarray(pixels[..., :3]), transparent, grey, profile)


TURNS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "t": lambda pixels: pixels.swapaxes(0, 1),
    "h": lambda pixels: pixels[:, ::-1],
    "v": lambda pixels: pixels[::-1],
}
