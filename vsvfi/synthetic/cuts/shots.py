"""Shots of one camera on one drawn canvas, from which `real` and `lookalikes` make clips. numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vsvfi.synthetic.cuts.clip import Frames
from vsvfi.synthetic.texture import Array

HEIGHT, WIDTH = 108, 192
LENGTH = 48
GRID = 256
"""Side of a canvas; cameras wrap around its borders, so a pan never ends."""


def noise(rng: np.random.Generator, roughness: float, side: int = GRID) -> Array:
    """Periodic random texture [side,side] in 0..1 whose spectrum falls with frequency ** -roughness."""
    along = np.fft.fftfreq(side)
    radius = np.hypot(along[:, None], along[None, :])
    radius[0, 0] = 1
    spectrum = np.fft.fft2(rng.standard_normal((side, side))) * radius**-roughness
    spectrum[0, 0] = 0
    field = np.real(np.fft.ifft2(spectrum))
    return np.asarray(np.clip(0.5 + field / (5 * field.std()), 0, 1), dtype=np.float32)


def natural(rng: np.random.Generator, palette: Array) -> Array:
    """A canvas with textured regions between two colours, blobs of others, and light from above."""
    side = np.arange(GRID)
    mixed = noise(rng, 1.8)
    canvas = palette[0][:, None, None] * mixed + palette[1][:, None, None] * (1 - mixed)
    for index in range(int(rng.integers(6, 14))):
        y, x = rng.integers(0, GRID, 2)
        radius_y, radius_x = rng.uniform(8, 45, 2)
        away_y = (side - y + GRID // 2) % GRID - GRID // 2
        away_x = (side - x + GRID // 2) % GRID - GRID // 2
        inside = (away_y[:, None] / radius_y) ** 2 + (away_x[None, :] / radius_x) ** 2 < 1
        canvas[:, inside] = palette[2 + index % 3][:, None]
    canvas = canvas * (0.55 + 0.9 * noise(rng, rng.uniform(0.9, 1.5)))
    return np.asarray(np.clip(canvas, 0, 1), dtype=np.float32)


def drawn(rng: np.random.Generator, palette: Array) -> Array:
    """A canvas of flat regions with outlines, as in animation."""
    levels = np.floor(noise(rng, 2.2) * 9).astype(int)
    canvas = palette[levels % len(palette)].transpose(2, 0, 1).copy()
    border = (levels != np.roll(levels, 1, 0)) | (levels != np.roll(levels, 1, 1))
    canvas[:, border] *= 0.4
    return np.asarray(canvas, dtype=np.float32)


@dataclass(slots=True)
class Shot:
    """One camera on one canvas: `time` counts frames from the start of the clip.

    Attributes:
        velocity: pixels per frame, y then x.
        shake: amplitude in pixels of a hand-held camera.
        zoom: relative growth per frame.
        shutter: fraction of a frame the shutter is open.
        sprite: radius in pixels of an object crossing the frame, 0 for none; `sprite_velocity` in pixels per frame.
        hold: number of frames that each drawing is held ("on twos").
    """

    canvas: Array
    start: tuple[float, float] = (0.0, 0.0)
    velocity: tuple[float, float] = (0.0, 0.4)
    shake: float = 0.0
    zoom: float = 0.0
    shutter: float = 0.0
    sprite: float = 0.0
    sprite_velocity: tuple[float, float] = (0.0, 6.0)
    sprite_colour: tuple[float, float, float] = (0.8, 0.3, 0.2)
    sprite_start: tuple[float, float] = (HEIGHT / 2, 0.0)
    hold: int = 1
    speed: Callable[[float], float] | None = None
    """Distance travelled, in units of `velocity`, by a time; None is uniform motion."""

    def image(self, time: float) -> Array:
        time = time // self.hold * self.hold
        if not self.shutter:
            return self._instant(time)
        return np.asarray(
            np.mean([self._instant(time + self.shutter * part / 5) for part in range(5)], axis=0), dtype=np.float32
        )

    def _instant(self, time: float) -> Array:
        gone = self.speed(time) if self.speed else time
        scale = np.exp(-self.zoom * time)
        swing = self.shake * np.array([np.sin(time * 1.7 + 1), np.sin(time * 1.3)])
        y = self.start[0] + self.velocity[0] * gone + swing[0] + (np.arange(HEIGHT) - HEIGHT / 2) * scale
        x = self.start[1] + self.velocity[1] * gone + swing[1] + (np.arange(WIDTH) - WIDTH / 2) * scale
        image = sample(self.canvas, y, x)
        if self.sprite:
            centre_y = (self.sprite_start[0] + self.sprite_velocity[0] * time) % (
                HEIGHT + 2 * self.sprite
            ) - self.sprite
            centre_x = (self.sprite_start[1] + self.sprite_velocity[1] * time) % (WIDTH + 2 * self.sprite) - self.sprite
            inside = (np.arange(HEIGHT)[:, None] - centre_y) ** 2 + (
                np.arange(WIDTH)[None, :] - centre_x
            ) ** 2 < self.sprite**2
            image[:, inside] = 0.7 * np.array(self.sprite_colour, np.float32)[:, None] + 0.3 * image[:, inside]
        return image


def sample(canvas: Array, y: NDArray[np.float64], x: NDArray[np.float64]) -> Array:
    """The canvas at rows `y` and columns `x`, bilinear, wrapping around."""
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    down, right = (y - top).astype(np.float32)[:, None], (x - left).astype(np.float32)
    rows = canvas[:, top % GRID] * (1 - down) + canvas[:, (top + 1) % GRID] * down
    return np.asarray(rows[:, :, left % GRID] * (1 - right) + rows[:, :, (left + 1) % GRID] * right, dtype=np.float32)


def palette_of(rng: np.random.Generator) -> Array:
    """Five colours that belong together."""
    tint = float(rng.choice([0.03, 0.08, 0.2]))
    base = rng.uniform(0.15, 0.85) + rng.normal(0, tint, 3)
    return np.asarray(
        np.clip(base + rng.normal(0, 0.2, (5, 1)) + rng.normal(0, tint, (5, 3)), 0.03, 0.97), dtype=np.float32
    )


def shot_of(rng: np.random.Generator, style: str = "any", palette: Array | None = None, **changes: object) -> Shot:
    """A random shot with calm motion; `changes` are attributes of Shot."""
    style = str(rng.choice(["natural", "drawn"])) if style == "any" else style
    paint = natural if style == "natural" else drawn
    shot = Shot(
        canvas=paint(rng, palette_of(rng) if palette is None else palette),
        start=(float(rng.uniform(0, GRID)), float(rng.uniform(0, GRID))),
        velocity=(float(rng.uniform(-1, 1)), float(rng.uniform(-2, 2))),
        shake=float(rng.choice([0, 0, 1.0])),
        zoom=float(rng.choice([0, 0, 0.004, -0.004])),
        sprite=float(rng.choice([0, 10, 20])),
        sprite_velocity=(float(rng.uniform(-2, 2)), float(rng.uniform(-5, 5))),
        sprite_colour=(float(rng.uniform()), float(rng.uniform()), float(rng.uniform())),
        sprite_start=(float(rng.uniform(0, HEIGHT)), float(rng.uniform(0, WIDTH))),
    )
    for name, value in changes.items():
        setattr(shot, name, value)
    return shot


def joined(shots: list[Shot], cuts: list[int]) -> Frames:
    """The shots one after the other with hard cuts."""
    return lambda index: shots[int(np.searchsorted(cuts, index, side="right"))].image(index)


def places(rng: np.random.Generator, count: int, shortest: int) -> list[int]:
    """`count` cut positions, at least `shortest` frames apart and from the ends."""
    while True:
        places = sorted(int(place) for place in rng.integers(shortest, LENGTH - shortest, count))
        if all(after - before >= shortest for before, after in pairwise(places)):
            return places


def on_twos(rng: np.random.Generator) -> Shot:
    """Animation on twos or threes."""
    return shot_of(
        rng,
        "drawn",
        hold=int(rng.choice([2, 3])),
        sprite=float(rng.uniform(10, 30)),
        sprite_velocity=(0.0, float(rng.uniform(4, 9))),
    )


def dim(image: Array) -> Array:
    """Darken an image, as in a dark room."""
    return np.asarray(image * 0.09 + 0.01, dtype=np.float32)
