"""Draw a side-scrolling cartoon: flat colours, repeated patterns that pass quickly, a running figure, small text.

Every scene has its own street, palette and speed; the camera always moves in the same direction, as in many games.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Image = NDArray[np.float32]

_FINE = 2
"""Drawn at so many times the size, then averaged: edges are soft, and move by parts of a pixel."""


@dataclass(frozen=True, slots=True)
class _Band:
    """A strip of the street that repeats itself.

    Attributes:
        tile: [H, W, 3] in fine pixels.
        shown: [H, W], where it covers what is behind it.
        speed: fine pixels per frame.
    """

    tile: Image
    shown: NDArray[np.bool_]
    speed: float


class Scene:
    """One scene.

    Args:
        seed: of everything in it.
        width: of the frames.
        height: of the frames.
    """

    def __init__(self, seed: int, width: int, height: int) -> None:
        self._random = np.random.default_rng((0x5C0, seed))
        self.width, self.height = width * _FINE, height * _FINE
        self._palette = self._random.uniform(0.05, 0.98, (8, 3)).astype(np.float32)
        speed = self._random.uniform(6, 9) * _FINE
        self._bands = [self._hills(speed / 6), self._houses(speed / 2), self._fence(speed)]
        self._stride = self._random.uniform(0.5, 0.9)
        self._text = self._letters(14, 60)

    def frame(self, time: float) -> Image:
        """Draw the frame of a time: [H, W, 3] in [0, 1]."""
        image = np.tile(self._palette[0], (self.height, self.width, 1))
        columns = np.arange(self.width)
        for band in self._bands:
            moved = (columns + round(band.speed * time)) % band.tile.shape[1]
            shown = band.shown[:, moved]
            image[shown] = band.tile[:, moved][shown]
        self._figure(image, time)
        self._title(image, time)
        rows, across = self.height // _FINE, self.width // _FINE
        result: Image = image.reshape(rows, _FINE, across, _FINE, 3).mean((1, 3), dtype=np.float32)
        return result

    def _band(self, width: int) -> tuple[Image, NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
        rows, columns = np.mgrid[0 : self.height, 0:width]
        return np.zeros((self.height, width, 3), np.float32), np.zeros((self.height, width), bool), rows, columns

    def _hills(self, speed: float) -> _Band:
        tile, _, rows, columns = self._band(self.width)
        turns = 2 * math.pi * columns / self.width
        line = self.height * (0.45 + 0.1 * np.sin(2 * turns) + 0.05 * np.sin(5 * turns + 1))
        tile[:] = self._palette[1]
        return _Band(tile, rows > line, speed)

    def _houses(self, speed: float) -> _Band:
        period = 2 * int(self._random.integers(9, 16))
        tile, _, rows, columns = self._band(period * 12)
        tops = self.height * self._random.uniform(0.25, 0.5, 4)
        top = tops[columns // (3 * period) % 4]
        window = (columns % period > period * 0.4) & ((rows - top) % (period * 1.3) > period * 0.6)
        tile[:] = self._palette[2]
        tile[columns // (3 * period) % 2 == 1] = self._palette[3]
        tile[window] = self._palette[4]
        return _Band(tile, rows > top, speed)

    def _fence(self, speed: float) -> _Band:
        period = 2 * int(self._random.integers(11, 18))
        tile, _, rows, columns = self._band(period)
        top = 0.7 * self.height
        post = (columns < 0.45 * period) & (rows > top)
        rail = (np.abs(rows - 0.76 * self.height) < 3) | (np.abs(rows - 0.9 * self.height) < 3)
        tile[:] = self._palette[5]
        tile[columns == 0] = 0.1 * self._palette[5]
        return _Band(tile, post | rail, speed)

    def _figure(self, image: Image, time: float) -> None:
        """A running figure of flat shapes with outlines, which stays near the middle."""
        scale = self.height / 6
        x, foot = self.width * (0.45 + 0.05 * math.sin(0.2 * time)), 0.95 * self.height
        y = foot - 1.7 * scale - 0.08 * scale * abs(math.sin(self._stride * time))
        swing = math.sin(self._stride * time)
        for side in (1, -1):
            _limb(image, (x, y + 0.9 * scale), side * 0.8 * swing, 0.85 * scale, self._palette[6] * 0.6)
            _limb(image, (x, y + 0.3 * scale), -side * 0.9 * swing, 0.6 * scale, self._palette[7] * 0.8)
        _disc(image, (x, y + 0.55 * scale), (0.3 * scale, 0.5 * scale), self._palette[6])
        _disc(image, (x, y - 0.15 * scale), (0.3 * scale, 0.3 * scale), self._palette[7])

    def _letters(self, rows: int, count: int) -> NDArray[np.bool_]:
        """A line of small marks like letters, in fine pixels."""
        marks = self._random.random((rows // 2, count, 4)) < 0.55
        marks[:, :, 3] = False
        lines = np.repeat(np.repeat(marks.reshape(rows // 2, count * 4), 3, 0), 3, 1)
        return np.asarray(lines, bool)

    def _title(self, image: Image, time: float) -> None:
        """Small text that passes over the sky."""
        height, width = self._text.shape
        left = round(0.3 * self._bands[2].speed * time) % width
        text = np.roll(self._text, -left, 1)[:, : self.width]
        top = int(0.06 * self.height)
        image[top : top + height, : text.shape[1]][text] = 0.97


def _disc(image: Image, middle: tuple[float, float], radii: tuple[float, float], colour: Image) -> None:
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    apart = np.hypot((columns - middle[0]) / radii[0], (rows - middle[1]) / radii[1])
    image[apart < 1.15] = 0.05
    image[apart < 1] = colour


def _limb(image: Image, joint: tuple[float, float], angle: float, length: float, colour: Image) -> None:
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    x, y = columns - joint[0], rows - joint[1]
    along = x * math.sin(angle) + y * math.cos(angle)
    across = np.abs(x * math.cos(angle) - y * math.sin(angle))
    inside = (along > 0) & (along < length)
    image[inside & (across < 0.15 * length + 2)] = 0.05
    image[inside & (across < 0.15 * length)] = colour
