"""Draw trials of what interpolation fails on: text, fast things, flat shapes and combs, with exact frames between.

A trial has two frames, the true one at t, and the window in which it is scored. Nothing here is drawn by the code that
draws training samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from scripts.train.heldout import FIRST_SEED
from vsvfi.synthetic import scene
from vsvfi.synthetic.layer import Box, Capsule, Ellipse, Layer, Motion, Union, everywhere
from vsvfi.synthetic.scene import Scene
from vsvfi.synthetic.texture import Array, Flat, Gradient, Noise, Stripes, Texture, Tiles

LETTERS = (10, 17, 28, 48)
"""Heights of capital letters in pixels."""
SPEEDS = (1, 2, 4, 6, 11, 16, 24)
"""Pixels between the two frames."""
_WIDTH, _HEIGHT = 320, 192
_FINE = 4
_SEED = FIRST_SEED + 500
_LINE = "The harbour train leaves at 7:42 - boats, gulls & 15 minutes of rain over Quay Street. MIND THE GAP  "


@dataclass(frozen=True, slots=True)
class Trial:
    """Predict `truth` at t between `first` and `second`, all [1, 3, H, W]; scored in the window (rows, columns)."""

    group: str
    name: str
    first: Tensor
    second: Tensor
    truth: Tensor
    t: float
    window: tuple[slice, slice] = (slice(None), slice(None))


def _tensor(image: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))[None]


def _line(size: int) -> Array:
    """Coverage of the line of text, with capitals of this height, at `_FINE` times the size.

    The font is the one that Pillow brings, which training leaves out.
    """
    font = _font(100)
    font = _font(100 * size * _FINE / (font.getbbox("H")[3] - font.getbbox("H")[1]))
    left, top, right, bottom = font.getbbox(_LINE)
    image = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), _LINE, fill=255, font=font)
    return np.asarray(image, np.float32) / np.float32(255)


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _shown(line: Array, offset: float, width: int) -> Array:
    """Coverage of pixels by the line, repeated and moved by `offset` pixels to the left: [rows, width]."""
    rows = line.shape[0] // _FINE
    columns = (np.arange(width * _FINE) + round(offset * _FINE)) % line.shape[1]
    part = line[: rows * _FINE, columns].reshape(rows, _FINE, width, _FINE)
    result: Array = part.mean((1, 3), dtype=np.float32)
    return result


def captions(ground: str, heights: tuple[int, ...], speeds: tuple[int, ...]) -> Iterator[Trial]:
    """White letters with a dark shadow that scroll to the left, scored in their strip.

    They stand on a dark "bar" over a moving scene, or in front of a scene that is "still" or "moving".
    """
    grounds = scene(_SEED, _WIDTH, _HEIGHT, kind="textured")
    for letters in heights:
        line = _line(letters)
        rows = slice(90, 90 + line.shape[0] // _FINE)
        strip = (slice(rows.start - 2, rows.stop + 2), slice(None))
        for speed in speeds:
            frames = []
            for moment in (0.0, 0.5, 1.0):
                image = grounds.frame(3.0 if ground == "still" else 3.0 + moment)
                if ground == "bar":
                    image[:, strip[0]] = np.float32(0.08)
                wide = _shown(line, 39 + speed * moment, _WIDTH + 1)
                text, shadow = wide[:, 1:], np.zeros_like(wide[:, 1:])
                shadow[1:] = wide[:-1, :-1]
                image[:, rows] = image[:, rows] * (1 - np.float32(0.7) * shadow)
                image[:, rows] += text * (np.float32(0.95) - image[:, rows])
                frames.append(_tensor(image))
            name = f"{letters} px at {speed}"
            yield Trial(f"text, {ground}", name, frames[0], frames[2], frames[1], 0.5, strip)


def _ground(seed: int, velocity: tuple[float, float] = (0.0, 0.0)) -> Layer:
    random = np.random.default_rng((_SEED, seed))
    palette = random.uniform(0.15, 0.85, (4, 3)).astype(np.float32)
    return Layer(
        shape=everywhere,
        texture=Noise(seed, 40.0, palette, octaves=3, contrast=1.6),
        motion=Motion(place=(_WIDTH / 2, _HEIGHT / 2), velocity=velocity),
    )


def _of_scene(group: str, name: str, layers: list[Layer], centre: tuple[float, float], reach: float) -> Trial:
    """Frames of layers at times 0, 1/2, 1, scored within `reach` of the place at time 1/2."""
    shown = Scene(layers=layers, width=_WIDTH, height=_HEIGHT)
    first, truth, second = (_tensor(shown.frame(moment)) for moment in (0.0, 0.5, 1.0))
    rows = slice(max(0, int(centre[1] - reach)), int(centre[1] + reach))
    columns = slice(max(0, int(centre[0] - reach)), int(centre[0] + reach))
    return Trial(group, name, first, second, truth, 0.5, (rows, columns))


def balls() -> Iterator[Trial]:
    """A two-coloured ball that flies and turns."""
    for index, speed in enumerate((12, 20, 32, 48)):
        angle = 0.6 + 1.3 * index
        velocity = (speed * math.cos(angle), speed * math.sin(angle))
        radius = 15.0
        texture = Stripes(Flat((0.9, 0.3, 0.15)), Flat((0.95, 0.9, 0.8)), 14.0, 0.3)
        motion = Motion(
            place=(_WIDTH / 2 - velocity[0] / 2, _HEIGHT / 2 - velocity[1] / 2), velocity=velocity, spin=0.25
        )
        ball = Layer(shape=Ellipse(radius, radius), texture=texture, motion=motion, extent=radius + 2)
        yield _of_scene("ball", f"at {speed}", [_ground(index), ball], (_WIDTH / 2, _HEIGHT / 2), radius + 10)


def cars() -> Iterator[Trial]:
    """A car with wheels that turn, on a road that moves the other way."""
    for index, speed in enumerate((10, 18, 28, 40)):
        place = (_WIDTH / 2 - speed / 2, _HEIGHT / 2)
        body = Union((Box(44.0, 11.0, 5.0), Box(24.0, 10.0, 6.0, (-4.0, -15.0))))
        windows = (Box(9.0, 6.0, 2.0, (-14.0, -16.0)), Box(9.0, 6.0, 2.0, (7.0, -16.0)))
        paint = Gradient((0.75, 0.1, 0.12), (0.35, 0.03, 0.06), -20.0, 12.0)
        motion = Motion(place=place, velocity=(speed, 0.0))
        car = Layer(
            shape=body,
            texture=paint,
            motion=motion,
            extent=60.0,
            details=[(shape, Flat((0.6, 0.75, 0.85))) for shape in windows],
        )
        wheels = [
            Layer(
                shape=Ellipse(9.0, 9.0),
                texture=Tiles(Flat((0.1, 0.1, 0.1)), Flat((0.7, 0.7, 0.72)), (9.0, 9.0), 3.0),
                motion=Motion(place=(place[0] + side, place[1] + 11), velocity=(speed, 0.0), spin=speed / 9.0),
                extent=11.0,
            )
            for side in (-26.0, 26.0)
        ]
        layers = [_ground(20 + index, (-2.0 * index, 0.0)), car, *wheels]
        yield _of_scene("car", f"at {speed}", layers, (_WIDTH / 2, _HEIGHT / 2 - 4), 52.0)


def runners() -> Iterator[Trial]:
    """A figure with a head, a striped shirt and swinging arms and legs."""
    skin, cloth = Flat((0.85, 0.65, 0.5)), Flat((0.15, 0.2, 0.45))
    for index, speed in enumerate((8.0, 14.0, 22.0, 32.0)):
        moved = Motion(place=(_WIDTH / 2 - speed / 2, _HEIGHT / 2), velocity=(speed, 0.0), spin=0.05)
        head = Layer(
            shape=Ellipse(9.0, 11.0, (2.0, -32.0)),
            texture=skin,
            motion=moved,
            extent=50.0,
            details=[(Ellipse(2.0, 2.0, (6.0, -34.0)), Flat((0.1, 0.1, 0.1)))],
        )
        shirt = Stripes(Flat((0.9, 0.85, 0.2)), Flat((0.2, 0.5, 0.3)), 9.0, math.pi / 2)
        body = Layer(shape=Box(11.0, 20.0, 7.0), texture=shirt, motion=moved, extent=30.0)
        back = [_limb(speed, 14.0, 34.0, (0.7, -0.4), cloth), _limb(speed, -16.0, 26.0, (-0.6, 0.35), skin)]
        front = [_limb(speed, 14.0, 34.0, (-0.6, 0.4), cloth), _limb(speed, -16.0, 26.0, (0.6, -0.35), skin)]
        layers = [_ground(40 + index, (1.5 * index, 0.0)), *back, body, head, *front]
        yield _of_scene("runner", f"at {speed:g}", layers, (_WIDTH / 2, _HEIGHT / 2 + 2), 54.0)


def _limb(speed: float, joint: float, length: float, turn: tuple[float, float], texture: Texture) -> Layer:
    """A bent limb from a joint that far below the body's middle; `turn` is its angle at time 0 and the change."""
    upper, lower = Capsule((0.0, 0.0), (0.0, length / 2), 5.0), Capsule((0.0, length / 2), (4.0, length), 4.0)
    place = (_WIDTH / 2 - speed / 2, _HEIGHT / 2 + joint)
    motion = Motion(place=place, velocity=(speed, 0.0), angle=turn[0], spin=turn[1])
    return Layer(shape=Union((upper, lower)), texture=texture, motion=motion, extent=length + 8)


def flat_shapes() -> Iterator[Trial]:
    """Cel-shaded scenes with outlines."""
    for index in range(5):
        shown = scene(_SEED + index, _WIDTH, _HEIGHT, kind="flat")
        first, truth, second = (_tensor(shown.frame(moment)) for moment in (3.0, 3.5, 4.0))
        yield Trial("flat shapes", f"scene {index}", first, second, truth, 0.5)


def combs() -> Iterator[Trial]:
    """Fences and grids in front of or on a moving ground, which move by less than half a period."""
    bar, gap = Flat((0.85, 0.85, 0.8)), Flat((0.2, 0.22, 0.25))
    for index, (period, speed) in enumerate(((5.0, 2.0), (8.0, 3.0), (12.0, 5.0), (20.0, 8.0))):
        motion = Motion(place=(_WIDTH / 2, _HEIGHT / 2), velocity=(speed, 0.0))
        grid = Tiles(bar, gap, (period, 2 * period), period / 3)
        fence = Layer(shape=Box(90.0, 55.0), texture=grid, motion=motion, extent=110.0)
        rails = Union(tuple(Box(1.2, 60.0, 0.0, (4 * period * (step - 3), 0.0)) for step in range(7)))
        bars = Layer(shape=rails, texture=bar, motion=motion, extent=12 * period + 70)
        for name, layer in (("wall", fence), ("bars", bars)):
            trial_layers = [_ground(60 + index, (-1.0, 0.5)), layer]
            yield _of_scene("combs", f"{name} of {period:g} at {speed:g}", trial_layers, (160.0, 96.0), 80.0)


def unseen() -> Iterator[Trial]:
    """Procedural scenes of all kinds, at several t."""
    for kind in ("mixed", "textured", "pan"):
        for index in range(4):
            shown = scene(_SEED + 20 + index, _WIDTH, _HEIGHT, kind=kind)
            t = (0.5, 0.25, 0.5, 0.75)[index]
            first, truth, second = (_tensor(shown.frame(3.0 + moment)) for moment in (0.0, t, 1.0))
            yield Trial("unseen", f"{kind} {index}", first, second, truth, t)


def everything() -> Iterator[Trial]:
    """Yield all trials."""
    yield from captions("bar", LETTERS, SPEEDS)
    yield from captions("still", LETTERS[1:3], SPEEDS)
    yield from captions("moving", LETTERS[1:3], SPEEDS)
    for trials in (balls, cars, runners, flat_shapes, combs, unseen):
        yield from trials()
