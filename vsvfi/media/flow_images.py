"""Optical flow as colours (the Middlebury wheel) and as .flo files."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

type Flow = NDArray[np.float32]
"""[2, H, W] in pixels, x then y."""

_SECTIONS = ((15, (0, 1)), (6, (1, 0)), (4, (1, 2)), (11, (2, 1)), (13, (2, 0)), (6, (0, 2)))
"""From red to yellow, green, cyan, blue, magenta, red: steps, and the channels (full, changing)."""


def _wheel() -> NDArray[np.float64]:
    """Return the 55 hues [55, 3] in 0 to 255."""
    hues = []
    for index, (count, (full, changing)) in enumerate(_SECTIONS):
        for step in range(count):
            hue = [0.0, 0.0, 0.0]
            part = np.floor(255 * step / count)
            hue[full], hue[changing] = 255.0, part if index % 2 == 0 else 255.0 - part
            hues.append(hue)
    return np.array(hues)


def flow_colours(flow: Flow, longest: float | None = None) -> NDArray[np.uint8]:
    """Colour a flow as [H, W, 3]: hue is its direction, saturation its length, white is no motion.

    Args:
        flow: in pixels.
        longest: length of fully saturated vectors; None for the longest in the flow.
    """
    wheel = _wheel()
    x, y = flow.astype(np.float64)
    if longest is None:
        longest = float(np.sqrt(x * x + y * y).max(initial=0.0))
    x, y = x / (longest + 1e-5), y / (longest + 1e-5)
    length = np.sqrt(x * x + y * y)[..., None]
    position = (np.arctan2(-y, -x) / np.pi + 1) / 2 * (len(wheel) - 1)
    below = np.floor(position).astype(np.intp)
    part = (position - below)[..., None]
    colour = ((1 - part) * wheel[below] + part * wheel[(below + 1) % len(wheel)]) / 255
    shown = np.where(length <= 1, 1 - length * (1 - colour), 0.75 * colour)
    codes: NDArray[np.uint8] = np.floor(255 * shown).astype(np.uint8)
    return codes


def flo(flow: Flow) -> bytes:
    """Encode a flow as a .flo file: magic number, size, rows of interleaved x and y, little endian."""
    _, height, width = flow.shape
    values = np.ascontiguousarray(flow.transpose(1, 2, 0)).astype("<f4")
    return struct.pack("<fii", 202021.25, width, height) + values.tobytes()
