"""Images for a page: WebP files in memory, and errors as colours."""

from __future__ import annotations

import base64
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsvfi.compare.source import Image
from vsvfi.media.pyav import pyav

GAIN = 4
"""Factor by which shown errors are amplified."""

_HEAT = np.array([(0, 0, 0), (60, 15, 110), (190, 50, 80), (250, 160, 40), (255, 255, 220)], np.float32) / 255
"""Colours of errors from none to the largest."""


def webp(image: Image, longest: int = 1920, quality: int = 90) -> bytes:
    """Encode an image as WebP, reduced if its long side is longer than `longest`."""
    av = pyav()
    frame = av.VideoFrame.from_ndarray(_bytes(image), format="rgb24")
    width, height = frame.width, frame.height
    if max(width, height) > longest:
        width, height = (max(1, round(side * longest / max(width, height))) for side in (width, height))
    frame = frame.reformat(width=width, height=height, format="yuv420p", interpolation="AREA", dst_colorspace="ITU601")
    context: Any = av.CodecContext.create("libwebp", "w")
    context.width, context.height, context.pix_fmt, context.time_base = width, height, "yuv420p", Fraction(1, 25)
    context.options = {"quality": str(quality), "compression_level": "3"}
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def as_url(content: bytes) -> str:
    """Return a WebP file as a data URL."""
    return "data:image/webp;base64," + base64.b64encode(content).decode("ascii")


def heat(image: Image, truth: Image) -> Image:
    """Colour the error of an image, amplified by `GAIN`: from black (none) through red to white."""
    error = np.abs(image - truth).mean(0).clip(0, 1 / GAIN) * GAIN * (len(_HEAT) - 1)
    below = np.minimum(error.astype(np.intp), len(_HEAT) - 2)
    part = (error - below)[..., None]
    colours = _HEAT[below] * (1 - part) + _HEAT[below + 1] * part
    return np.ascontiguousarray(colours.transpose(2, 0, 1))


def _bytes(image: Image) -> NDArray[np.uint8]:
    """[H, W, 3] of 8 bits."""
    return np.ascontiguousarray((image.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
