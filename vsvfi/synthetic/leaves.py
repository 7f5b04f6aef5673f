"""Draw images of overlapping shapes ("dead leaves") and cut-outs of them, the components of training samples.

Backgrounds consist of many shapes of all sizes with flat, shaded and noisy fills, noise, or cel shading; sprites are
shapes with soft or hard edges on a transparent background. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from vsvfi.synthetic.layer import Blob, Box, Capsule, Ellipse, Shape, Union
from vsvfi.synthetic.texture import Array, Gradient, Noise, Stripes, Texture, Tiles, mix

BACKGROUND = 384
"""Side of a background, texels."""
SPRITE = 256
"""Side of a cut-out."""

type Blur = Callable[[Array, float], Array]
"""(image [3, H, W], standard deviation in pixels) -> image."""


def _colour(random: np.random.Generator) -> Array:
    colour = (
        random.uniform(0, 1, 3)
        if random.random() < 0.5
        else np.clip(random.uniform(0, 1) + random.normal(0, 0.12, 3), 0, 1)
    )
    return colour.astype(np.float32)


def _triple(colour: Array) -> tuple[float, float, float]:
    return float(colour[0]), float(colour[1]), float(colour[2])


def _fill(random: np.random.Generator, size: float) -> Texture | Array:
    """A texture, or one colour [3] (which is much quicker)."""
    choice = random.random()
    if choice < 0.4:
        return _colour(random)
    if choice < 0.6:
        first = _colour(random)
        second = np.clip(first * random.uniform(0.4, 1.2) + random.normal(0, 0.08, 3), 0, 1).astype(np.float32)
        return Gradient(
            _triple(first),
            _triple(second),
            -size,
            size,
            float(random.uniform(0, 6.28)),
            int(random.choice([0, 0, 2, 3])),
        )
    palette = np.clip(_colour(random) + random.normal(0, random.choice([0.05, 0.12, 0.25]), (4, 3)), 0, 1).astype(
        np.float32
    )
    noise = Noise(
        int(random.integers(1 << 30)),
        float(2 ** random.uniform(2.3, 5.5)),
        palette,
        octaves=int(random.integers(1, 4)),
        stretch=float(random.choice([1, 1, 2, 4])),
        contrast=float(random.uniform(0.7, 1.8)),
    )
    if choice < 0.88:
        return noise
    period = float(2 ** random.uniform(2.6, 5))
    flat = Gradient(_triple(_colour(random)), _triple(_colour(random)), -size, size)
    if choice < 0.94:
        return Stripes(noise, flat, period, float(random.uniform(0, np.pi)), float(random.uniform(0.2, 0.7)))
    return Tiles(
        flat,
        noise,
        (period, float(period * random.uniform(0.5, 1))),
        float(random.uniform(0.1, 0.4) * period),
        float(random.choice([0, 0.5])),
    )


def _shape(random: np.random.Generator, radius: float) -> Shape:
    choice = random.random()
    if choice < 0.25:
        return Ellipse(radius * float(random.uniform(0.25, 1)), radius * float(random.uniform(0.25, 1)))
    if choice < 0.45:
        return Box(radius * float(random.uniform(0.2, 0.7)), radius * float(random.uniform(0.05, 0.7)), 0.0)
    if choice < 0.65:
        points = random.uniform(-0.85, 0.85, (int(random.integers(2, 5)), 2)) * radius
        thickness = radius * float(random.choice([0.03, 0.08, 0.15]))
        limbs = [
            Capsule((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), max(thickness, 1.0))
            for a, b in pairwise(points)
        ]
        return Union(tuple(limbs))
    waves = tuple(
        (float(random.uniform(-0.25, 0.25) / count**0.6), float(random.uniform(0, 6.28))) for count in range(1, 7)
    )
    return Blob(radius * 0.6, waves)


def _stamp(
    random: np.random.Generator,
    image: Array,
    shape: Shape,
    fill: Texture | Array,
    place: tuple[float, float],
    radius: float,
    outline: float,
    turn: float | None = None,
) -> None:
    """Draw a shape into image [C, H, W], at a random angle if `turn` is None; a fourth channel is coverage."""
    height, width = image.shape[1:]
    left, right = max(0, int(place[0] - radius)), min(width, int(place[0] + radius) + 2)
    top, bottom = max(0, int(place[1] - radius)), min(height, int(place[1] + radius) + 2)
    if left >= right or top >= bottom:
        return
    rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
    x, y = columns - np.float32(place[0]), rows - np.float32(place[1])
    turn = random.uniform(0, 2 * np.pi) if turn is None else turn
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = cosine * x + sine * y, cosine * y - sine * x
    distance = shape(u, v)
    coverage = np.clip(np.float32(0.5) - distance / np.float32(random.choice([1, 1, 1.5, 3, 6])), 0, 1)
    colour = fill[:, None, None] if isinstance(fill, np.ndarray) else fill(u, v, 1.0)
    if outline:
        colour = colour * (1 - np.clip(distance + np.float32(outline + 0.5), 0, 1) * np.float32(0.9))
    window = image[:3, top:bottom, left:right]
    window[:] = mix(window, colour, coverage)
    if len(image) == 4:
        image[3, top:bottom, left:right] += coverage * (1 - image[3, top:bottom, left:right])


def background(random: np.random.Generator, blur: Blur) -> Array:
    """Draw a random background, [3, side, side]."""
    side = BACKGROUND
    image = np.zeros((3, side, side), np.float32)
    fill = _fill(random, side)
    while isinstance(fill, np.ndarray):
        fill = _fill(random, side)
    axis = np.arange(side, dtype=np.float32) - np.float32(side / 2)
    u, v = np.meshgrid(axis, axis)
    image[:] = fill(u, v, 1.0)
    style = random.random()
    count = 0 if style < 0.08 else int(2 ** random.uniform(6.5, 9.5))
    outlined = random.random() < 0.15
    smallest, largest = float(random.choice([6, 10, 16, 24])), float(random.choice([60, 100, 160]))
    for _ in range(count):
        # radii with density r^-3, as in natural images
        share = random.random()
        radius = float((smallest**-2 + share * (largest**-2 - smallest**-2)) ** -0.5)
        place = (float(random.uniform(0, side)), float(random.uniform(0, side)))
        _stamp(
            random,
            image,
            _shape(random, radius),
            _fill(random, radius),
            place,
            radius,
            float(random.uniform(1, 4)) if outlined else 0.0,
        )
    if random.random() < 0.5:
        light = Noise(
            int(random.integers(1 << 30)),
            float(random.uniform(100, 300)),
            np.array([[0.5] * 3, [1.1] * 3], np.float32),
            octaves=1,
        )
        image *= light(u, v, 1.0)
    image = np.clip(image, 0, 1)
    if random.random() < 0.5:
        image = blur(image, float(random.choice([0.5, 0.8, 1.2, 2.0])))
    return image


def _strokes(random: np.random.Generator, side: int) -> Array:
    """Draw thin strokes of one colour, lines of glyphs or hair: [4, side, side], colour premultiplied by coverage."""
    sprite = np.zeros((4, side, side), np.float32)
    colour = _colour(random)
    if random.random() < 0.5:
        height = float(random.uniform(14, 40))
        thickness = height * float(random.uniform(0.05, 0.12))
        for top in np.arange(0.2 * side, 0.8 * side, 1.5 * height):
            for left in np.arange(0.1 * side, 0.88 * side, 0.8 * height):
                if random.random() < 0.15:
                    continue  # between words
                nodes = random.choice(6, int(random.integers(2, 5)), replace=False)
                points = [((node % 2 - 0.5) * 0.5 * height, (node // 2 - 1) * 0.5 * height) for node in nodes]
                for start, end in pairwise(points):
                    _stamp(
                        random,
                        sprite,
                        Capsule(start, end, thickness),
                        colour,
                        (float(left), float(top)),
                        height,
                        0.0,
                        turn=0.0,
                    )
        return sprite
    root = random.uniform(0.3, 0.7, 2) * side
    for _ in range(int(random.integers(8, 40))):
        place, angle = root + random.normal(0, 12, 2), random.uniform(0, 2 * np.pi)
        bend, thickness = random.normal(0, 0.15), float(random.uniform(0.7, 2.0))
        for _ in range(int(random.integers(4, 9))):
            step = 12 * np.array([np.cos(angle), np.sin(angle)])
            stroke = Capsule((0.0, 0.0), (float(step[0]), float(step[1])), thickness)
            _stamp(random, sprite, stroke, colour, (float(place[0]), float(place[1])), 16.0, 0.0, turn=0.0)
            place, angle = place + step, angle + bend
    return sprite


def sprite(random: np.random.Generator, images: Array) -> Array:
    """Draw a cut-out [4, side, side] with colours of one of the images, transparent along the border."""
    side = SPRITE
    image = images[random.integers(len(images))]
    top, left = (int(value) for value in random.integers(0, BACKGROUND - side, 2))
    axis = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    u, v = np.meshgrid(axis, axis)
    edge = np.clip((np.float32(side / 2 - 3) - np.maximum(np.abs(u), np.abs(v))) / 2, 0, 1)
    if random.random() < 0.2:
        strokes: Array = _strokes(random, side) * edge
        return strokes
    cutout = np.zeros((4, side, side), np.float32)
    cutout[:3] = image[:, top : top + side, left : left + side]
    if random.random() < 0.4:
        cutout[:3] = _colour(random)[:, None, None]
    distance = _shape(random, 0.93 * side / 2)(u, v)
    cutout[3] = np.clip(np.float32(0.5) - distance / np.float32(random.choice([2, 2, 2, 6, 14])), 0, 1)
    inside = cutout[3].copy()
    for _ in range(int(random.integers(0, 6))):
        radius = float(random.uniform(6, 50))
        place = (float(side / 2 + random.normal(0, 40)), float(side / 2 + random.normal(0, 40)))
        _stamp(random, cutout[:3], _shape(random, radius), _fill(random, radius), place, radius, 0.0)
    if random.random() < 0.25:
        cutout[:3] *= 1 - np.clip(distance + np.float32(random.uniform(3, 8)), 0, 1) * np.float32(0.9)
    cutout[3] = inside * edge
    cutout[:3] *= cutout[3]
    return np.clip(cutout, 0, 1)
