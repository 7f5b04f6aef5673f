"""Draw flat backgrounds, cel parts with outlines, and thin periodic layers as textures for training samples.

numpy and torch; textures are [4, h, w] with colour premultiplied by coverage, backgrounds [3, side, side].
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vsvfi.synthetic.layer import Blob, Box, Capsule, Ellipse, Shape, Union
from vsvfi.synthetic.leaves import BACKGROUND

PART = 128
"""Side of a cel part in texels."""
GRID = 384
"""Side of a periodic layer in texels."""


def _colour(random: np.random.Generator) -> NDArray[np.float32]:
    return random.uniform(0, 1, 3).astype(np.float32)


def _plane(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    axis = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    across, down = np.meshgrid(axis, axis)
    return across, down


def _shape(random: np.random.Generator, radius: float) -> Shape:
    choice = random.random()
    if choice < 0.35:
        return Ellipse(radius * float(random.uniform(0.4, 0.9)), radius * float(random.uniform(0.4, 0.9)))
    if choice < 0.6:
        across, down = (radius * float(value) for value in random.uniform(0.2, 0.75, 2))
        return Box(across, down, min(across, down) * float(random.choice([0, 0.3, 1])))
    if choice < 0.8:
        thickness = radius * float(random.uniform(0.06, 0.25))
        elbow = (float(random.uniform(-0.3, 0.3) * radius), float(random.uniform(-0.2, 0.2) * radius))
        upper = Capsule((0.0, -0.7 * radius), elbow, thickness)
        return Union((upper, Capsule(elbow, (float(random.uniform(-0.4, 0.4)) * radius, 0.7 * radius), thickness)))
    waves = tuple(
        (float(random.uniform(-0.2, 0.2) / count**0.6), float(random.uniform(0, 6.28))) for count in range(1, 6)
    )
    return Blob(radius * 0.62, waves)


def _covered(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(np.float32(0.5) - distance / 2, 0, 1)


def part(random: np.random.Generator) -> NDArray[np.float32]:
    """Draw a flat shape with an outline, a shadow of the same hue and flat details, [4, PART, PART]."""
    u, v = _plane(PART)
    distance = _shape(random, PART / 2 - 4)(u, v)
    base = _colour(random)
    picture = np.broadcast_to(base[:, None, None], (3, PART, PART)).copy()
    if random.random() < 0.5:
        shadow = _covered(u * float(random.normal()) + v - np.float32(random.uniform(-20, 30)))
        picture += (1 - shadow) * (base * np.float32(random.uniform(0.5, 0.85)) - base)[:, None, None]
    for _ in range(int(random.integers(0, 5))):
        x, y = (float(value) for value in random.normal(0, PART / 7, 2))
        size = float(random.uniform(2, PART / 6))
        inner = Ellipse(size, size * float(random.uniform(0.3, 1)), (x, y))(u, v)
        picture += _covered(inner) * (_colour(random)[:, None, None] - picture)
    width = float(random.uniform(2, 7)) if random.random() < 0.8 else 0.0
    ink = np.float32(random.uniform(0, 0.15))
    if width:
        picture += _covered(-(distance + np.float32(width))) * (ink - picture)
    cover = _covered(distance)
    return np.concatenate((picture * cover, cover[None])).astype(np.float32)


def flat_background(random: np.random.Generator) -> NDArray[np.float32]:
    """Draw large flat shapes on a flat or graded ground, some with outlines, [3, BACKGROUND, BACKGROUND]."""
    u, v = _plane(BACKGROUND)
    first = _colour(random)
    second = np.clip(first + random.normal(0, random.choice([0.0, 0.2]), 3), 0, 1).astype(np.float32)
    share = v / BACKGROUND + np.float32(0.5)
    picture: NDArray[np.float32] = first[:, None, None] + share * (second - first)[:, None, None]
    outline = float(random.uniform(1, 3)) if random.random() < 0.6 else 0.0
    for _ in range(int(random.integers(3, 26))):
        x, y = (float(value) for value in random.uniform(-0.5, 0.5, 2) * BACKGROUND)
        distance = _shape(random, float(random.uniform(15, 140)))(u - np.float32(x), v - np.float32(y))
        picture = picture + np.clip(np.float32(0.5) - distance, 0, 1) * (_colour(random)[:, None, None] - picture)
        if outline:
            line = np.clip(np.float32(outline / 2 + 0.5) - np.abs(distance), 0, 1)
            picture = picture * (1 - np.float32(0.9) * line)
    return picture.astype(np.float32)


def periodic(random: np.random.Generator) -> NDArray[np.float32]:
    """Draw bars, blinds, a grid, a fence or windows, [4, GRID, GRID]; the ground between them is transparent or not.

    Periods of 3 to 24 texels with soft edges, so that a texel is one pixel.
    """
    u, v = _plane(GRID)
    period, duty = float(np.exp(random.uniform(np.log(3.0), np.log(24.0)))), float(random.uniform(0.2, 0.65))
    turn = float(random.choice([0, np.pi / 2, random.uniform(0, np.pi)]))
    along = u * np.float32(np.cos(turn)) + v * np.float32(np.sin(turn))
    across = v * np.float32(np.cos(turn)) - u * np.float32(np.sin(turn))

    def bars(place: NDArray[np.float32], step: float, part: float) -> NDArray[np.float32]:
        phase = np.abs(np.mod(place + np.float32(0.37 * step), np.float32(step)) - np.float32(step / 2))
        result: NDArray[np.float32] = np.clip(np.float32(part * step / 2 + 0.5) - phase, 0, 1)
        return result

    cover = bars(along, period, duty)
    kind = random.random()
    if kind < 0.3:
        cover = np.maximum(cover, bars(across, period * float(random.uniform(0.7, 5)), duty * 0.7))
    elif kind < 0.5:
        cover = cover * bars(across, period * float(random.uniform(0.7, 2)), float(random.uniform(0.4, 0.8)))
    ink, ground = _colour(random), _colour(random)
    whole = random.random() < 0.45
    if random.random() < 0.5:
        ground = np.clip(ink + random.normal(0, 0.25, 3), 0, 1).astype(np.float32)
    colour = ground[:, None, None] + cover * (ink - ground)[:, None, None]
    alpha = np.ones_like(cover) if whole else cover
    if not whole:
        colour = np.broadcast_to(ink[:, None, None], colour.shape)
    edge = _shape(random, GRID / 2 - 6)(u, v) if random.random() < 0.6 else np.maximum(np.abs(u), np.abs(v)) - GRID / 2
    alpha = alpha * np.clip(np.float32(0.5) - edge, 0, 1)
    return np.concatenate((colour * alpha, alpha[None])).astype(np.float32)


def halved(textures: Tensor) -> Tensor:
    """Half-size copies, for things that are small on the image."""
    return functional.avg_pool2d(textures, 2)


def tensor(drawn: list[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(drawn))
