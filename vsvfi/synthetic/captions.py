"""Render captions that scroll over a static scene, a hard case for coarse-to-fine flow estimators.

Letters use a 5x7 bitmap font. Text is drawn at four times the width and averaged, so half-pixel motion is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vsvfi.synthetic.scene import scene
from vsvfi.synthetic.texture import Array

SPEEDS = (2, 6, 11)
"""Pixels between the two frames, to the left."""

_FINE = 4
_FONT = {
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "I": "01110 00100 00100 00100 00100 00100 01110",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "N": "10001 11001 10101 10011 10001 10001 10001",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "V": "10001 10001 10001 10001 10001 01010 00100",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    " ": "00000 00000 00000 00000 00000 00000 00000",
}
_LINE = "INTERMITTENT FRAMES FOR A TRAVEL FILM  2 FANS  7 MINARETS  LAST TRAIN TO ROME  "
_LARGE, _SMALL = 3, 2
"""Pixels per dot of the font, for the caption near the lower border and the one above it."""


def scrolling_captions(
    width: int, height: int, speed: int, start: int, seed: int, halves: Sequence[int] = (0, 1, 2)
) -> list[Array]:
    """Render a frame for each entry of `halves`, with captions moved by that many halves of `speed` pixels.

    By default two frames and the frame halfway between them. `start` moves the captions and, with `seed`, selects the
    background scene.
    """
    background = scene(seed + start, width, height, kind="textured").frame(3.0)
    return [_captioned(background, 40 * start + speed * half / 2) for half in halves]


def _captioned(background: Array, offset: float) -> Array:
    """White text with a dark edge to the right and below, moved by `offset` pixels to the left."""
    image = background.copy()
    height = image.shape[1]
    for size, bottom in ((_LARGE, height - 12), (_SMALL, height - 48)):
        text = _strip(size, image.shape[2], offset)
        rows = slice(bottom - text.shape[0], bottom)
        shadow = np.zeros_like(text)
        shadow[1:, 1:] = text[:-1, :-1]
        image[:, rows] = image[:, rows] * (1 - 0.8 * shadow)
        image[:, rows] = image[:, rows] * (1 - text) + np.float32(0.95) * text
    return image


def caption(text: str, size: int) -> NDArray[np.float32]:
    """Coverage of each pixel by a line of text, [7 * size, 6 * size * letters], with `size` pixels per dot.

    Raises:
        KeyError: a letter is not in the font.
    """
    letters = [
        np.array([[int(dot) for dot in row] + [0] for row in _FONT[letter].split()], np.float32) for letter in text
    ]
    return np.concatenate(letters, 1).repeat(size, 0).repeat(size, 1)


def _strip(size: int, width: int, offset: float) -> NDArray[np.float32]:
    """Coverage of each pixel by text, [7 * size + 1, width]."""
    line = caption(_LINE, size).repeat(_FINE, 1)
    columns = (np.arange(width * _FINE) + round(offset * _FINE)) % line.shape[1]
    strip = line[:, columns].reshape(line.shape[0], width, _FINE).mean(2, dtype=np.float32)
    return np.concatenate((strip, np.zeros((1, width), np.float32)))
