"""Decode an image to the planes of a given format, without loss where the format holds all that the image has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsvfi.errors import VsvfiError
from vsvfi.media.exif import turn_and_profile
from vsvfi.media.pixels import parse
from vsvfi.media.pyav import pyav
from vsvfi.media.stills import TURNS, exactly_converted

_BT601 = 5
_UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class Planes:
    """A decoded image.

    Attributes:
        colour: planes in VapourSynth's order: red, green, blue, or luma and chroma, or grey.
        alpha: its transparency; None where the format has none.
        full: samples use the full range.
        matrix: code of its YUV matrix.
    """

    colour: tuple[NDArray[Any], ...]
    alpha: NDArray[Any] | None
    full: bool
    matrix: int


def read_planes(path: Path, pixel_format: str) -> Planes:
    """Decode an image in its display orientation.

    Args:
        pixel_format: of the result, see `image_sequence.common_format`.

    Raises:
        VsvfiError: it cannot be read, or holds several images.
    """
    av = pyav()
    try:
        with open(path, "rb") as file, av.open(file) as container:
            frames = container.decode(container.streams.video[0])
            frame = next(frames, None)
            several = frame is not None and next(frames, None) is not None
            file.seek(0)
            turn = turn_and_profile(file.read())[0]
    except (av.FFmpegError, IndexError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or "it is not an image"
        raise VsvfiError(f"{path} cannot be read as an image: {reason}") from None
    if frame is None:
        raise VsvfiError(f"{path} cannot be read as an image: it has no decodable frame")
    if several:
        raise VsvfiError(f"{path} contains several images; render it on its own")
    wanted = parse(pixel_format)
    planes = _planes(frame, pixel_format)
    for step in turn:
        planes = [TURNS[step](plane) for plane in planes]
    rgb = pixel_format.startswith("gbr")
    colour = (
        [planes[index] for index in (2, 0, 1)] if rgb else planes[:1] if pixel_format.startswith("gray") else planes[:3]
    )
    alpha = planes[3] if rgb and len(planes) > 3 else None
    coded = wanted is not None and wanted.family == "yuv"
    full = not coded or int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    matrix = int(frame.colorspace)
    return Planes(tuple(colour), alpha, full, _BT601 if matrix in (0, _UNKNOWN) else matrix)


def _planes(frame: Any, pixel_format: str) -> list[NDArray[Any]]:
    """Return all planes of a frame in a format, in ffmpeg's order."""
    name, given = frame.format.name, frame.format
    target = pyav().VideoFormat(pixel_format)
    if name.removeprefix("yuvj").removeprefix("yuv") == pixel_format.removeprefix("yuv"):
        return _raw(frame)
    if re.match(r"yuv|nv|uyvy|yuyv", name):
        return _raw(exactly_converted(frame, pixel_format))
    if "f32" in pixel_format or "f16" in name:
        return _raw(frame.reformat(format=pixel_format))
    bits, deep = (8 if given.has_palette else given.components[0].bits), target.components[0].bits
    grey = not given.has_palette and len([one for one in given.components if not one.is_alpha]) == 1
    alpha = given.has_palette or any(component.is_alpha for component in given.components)
    if grey:
        planes = _grey(frame, alpha=alpha)
        bits = max(bits, 8)
    else:
        depth = "" if bits <= 8 else f"{bits}le"
        planes = _raw(frame.reformat(format=f"gbr{'a' if alpha and bits in (8, 10, 12, 16) else ''}p{depth}"))
    most, highest = (1 << max(bits, 8)) - 1, (1 << deep) - 1
    if deep != max(bits, 8):
        planes = [(plane.astype(np.uint32) * highest + most // 2) // most for plane in planes]
    kind = np.uint8 if deep == 8 else np.uint16
    planes = [plane.astype(kind, copy=False) for plane in planes]
    colours = [planes[0]] * 3 if grey and pixel_format.startswith("gbr") else planes[: 1 if grey else 3]
    if "gbrap" in pixel_format:
        opaque = planes[-1] if len(planes) in (2, 4) else np.full_like(planes[0], highest)
        return [*colours, opaque]
    return list(colours)


def _grey(frame: Any, *, alpha: bool) -> list[NDArray[Any]]:
    """Return the samples of a grey image, and its transparency where it has some."""
    name = frame.format.name
    if not alpha:
        deep = frame.format.components[0].bits > 8
        return _raw(frame if name in ("gray", "gray16le", "gray10le", "gray12le") else _plain_grey(frame, deep=deep))
    kind = np.dtype("<u2" if name.endswith("16le") else ">u2" if name.endswith("16be") else np.uint8)
    plane = frame.planes[0]
    rows = np.frombuffer(plane, kind).reshape(frame.height, plane.line_size // kind.itemsize)
    pairs = rows[:, : 2 * frame.width].astype(kind.newbyteorder("="))
    return [pairs[:, ::2], pairs[:, 1::2]]


def _plain_grey(frame: Any, *, deep: bool) -> Any:
    return frame.reformat(format="gray16le" if deep else "gray")


def _raw(frame: Any) -> list[NDArray[Any]]:
    """Return the planes of a planar frame as arrays."""
    described = frame.format
    kind = np.dtype(np.float32 if "f32" in described.name else np.uint8 if described.components[0].bits <= 8 else "<u2")
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
        planes.append(rows[:, : plane.width])
    return planes
