"""Moving scenes of layers: exact frames at any real time, and exact flow between any two.

A scene is a list of layers, back to front, seen through an exposure and grain. `scene` builds one from a seed; one seed
always gives the same scene.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vsvfi.errors import ArgumentError
from vsvfi.synthetic.layer import Blob, Box, Ellipse, Layer, Motion, Ridge, Shape, everywhere
from vsvfi.synthetic.texture import Array, Colour, Flat, Gradient, GradientNoise, Noise, Shaded, Stripes, Texture, Tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Layers in front of one another.

    Attributes:
        layers: back to front; the first one covers the image.
        width, height: of the image, pixels.
        grain: standard deviation of the noise added to each frame, of its own at every time; 0 for none.
        gain: brightness at t = 0, and its factor's change per frame (natural logarithm).
        seed: of the grain.
    """

    layers: Sequence[Layer]
    width: int
    height: int
    grain: float = 0.0
    gain: tuple[float, float] = (1.0, 0.0)
    seed: int = field(default=0)

    def frame(self, t: float) -> Array:
        """The image at time t: [3, H, W] float32 RGB in [0, 1], contiguous."""
        image = np.zeros((3, self.height, self.width), np.float32)
        for layer in self.layers:
            window = layer.window(self.width, self.height, t)
            if window is not None:
                colour, coverage = layer.paint(*_positions(*window), t)
                part = image[:, *window]
                part += coverage * (colour - part)
        gain = self.gain[0] * float(np.exp(self.gain[1] * t))
        if gain != 1:
            image *= np.float32(gain)
        if self.grain:
            bits = int(np.float64(t).view(np.uint64))
            noise = np.random.default_rng((self.seed, bits)).standard_normal(image.shape, np.float32)
            image += np.float32(self.grain) * noise
        return np.clip(image, 0, 1, out=image)

    def visible(self, t: float) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
        """Index of the visible layer at each pixel, [H, W]: the topmost one that covers at least half of it."""
        seen = np.zeros((self.height, self.width), np.intp)
        for index, layer in enumerate(self.layers):
            window = layer.window(self.width, self.height, t)
            if window is not None:
                u, v = layer.motion.to_layer(*_positions(*window), t)
                seen[window][layer.shape(u, v) <= 0] = index
        return seen

    def flow(self, t0: float, t1: float) -> Array:
        """The flow from t0 to t1, also of pixels occluded at t1: [2, H, W] float32 in pixels, x then y."""
        seen = self.visible(t0)
        result = np.zeros((2, self.height, self.width), np.float32)
        for index, layer in enumerate(self.layers):
            rows, columns = np.nonzero(seen == index)
            x, y = columns.astype(np.float32), rows.astype(np.float32)
            there_x, there_y = layer.motion.to_image(*layer.motion.to_layer(x, y, t0), t1)
            result[0, rows, columns] = there_x - x
            result[1, rows, columns] = there_y - y
        return result


def _positions(rows: slice, columns: slice) -> tuple[Array, Array]:
    """Coordinates of the pixels of a window, each of its full shape."""
    y, x = np.mgrid[rows, columns].astype(np.float32)
    return x, y


def scene(seed: int, width: int, height: int, *, kind: str = "mixed") -> Scene:
    """Build a random scene, determined by the seed.

    "mixed" has elements of all kinds, "flat" is cel shading with outlines, "pan" is fast global motion, and "dark" is
    low light with grain.

    Args:
        seed: any non-negative integer.
        width, height: of the frames, at least 16 pixels.
        kind: "mixed", "textured", "flat", "pan" or "dark".

    Raises:
        ArgumentError: the kind is unknown or the size too small.
    """
    if kind not in KINDS:
        raise ArgumentError(
            "kind", kind, f"must be one of {', '.join(KINDS)}", "leave it out for a scene of everything"
        )
    if min(width, height) < 16:
        raise ArgumentError("size", (width, height), "must be at least 16x16", "take a larger image")
    return KINDS[kind](np.random.default_rng((0x5EED, list(KINDS).index(kind), seed)), width, height, seed)


def _colour(random: np.random.Generator, low: float = 0.05, high: float = 0.95) -> Colour:
    red, green, blue = (float(value) for value in random.uniform(low, high, 3))
    return red, green, blue


def _palette(random: np.random.Generator, count: int = 4) -> Array:
    """Colours [count, 3] that get lighter, around one hue."""
    base = random.uniform(0.15, 0.85, 3)
    steps = np.linspace(0.25, 1.35, count)[:, None]
    return np.clip(base * steps + random.uniform(-0.12, 0.12, (count, 3)), 0, 1).astype(np.float32)


def _texture(random: np.random.Generator) -> Texture:
    """A random detailed texture."""
    noise = Noise(
        int(random.integers(1 << 30)),
        float(random.uniform(12, 48)),
        _palette(random),
        octaves=int(random.integers(2, 4)),
        stretch=float(random.choice([1, 1, 3])),
        contrast=float(random.uniform(0.8, 1.6)),
    )
    choice = random.integers(5)
    if choice == 0:
        return Stripes(
            noise,
            Flat(_colour(random)),
            float(random.uniform(8, 40)),
            float(random.uniform(0, np.pi)),
            float(random.uniform(0.2, 0.6)),
        )
    if choice == 1:
        across, down = random.uniform(8, 32, 2)
        return Tiles(
            Flat(_colour(random)),
            noise,
            (float(across), float(down)),
            float(random.uniform(1.5, 5)),
            float(random.choice([0, 0.5])),
        )
    return noise


def _cel(random: np.random.Generator, radius: float) -> Texture:
    """Two or three flat tones."""
    bright = _colour(random, 0.35, 1.0)
    shadow = (bright[0] * 0.6, bright[1] * 0.58, bright[2] * 0.68)
    return Gradient(
        bright, shadow, -radius * 0.6, radius * 0.8, float(random.uniform(0.8, 2.2)), steps=int(random.integers(2, 4))
    )


def _shape(random: np.random.Generator, radius: float) -> Shape:
    choice = random.integers(4)
    if choice == 0:
        return Ellipse(radius * float(random.uniform(0.5, 1)), radius * float(random.uniform(0.5, 1)))
    if choice == 1:
        return Box(
            radius * float(random.uniform(0.35, 0.75)),
            radius * float(random.uniform(0.2, 0.75)),
            float(random.uniform(0, 6)),
        )
    waves = tuple(
        (float(random.uniform(-0.22, 0.22) / count**0.7), float(random.uniform(0, 6.28))) for count in range(1, 6)
    )
    return Blob(radius * 0.62, waves)


def _thing(random: np.random.Generator, width: int, height: int, camera: Array, *, flat: bool, speed: float) -> Layer:
    """A foreground object; the camera's velocity [2] is added to its own."""
    radius = float(min(width, height) * random.uniform(0.09, 0.34))
    angle, pace = random.uniform(0, 2 * np.pi), speed * min(width, height) / 180 * float(random.gamma(1.6, 1.6))
    velocity = (float(camera[0] + pace * np.cos(angle)), float(camera[1] + 0.6 * pace * np.sin(angle)))
    middle = (random.uniform(0.1, 0.9) * width, random.uniform(0.15, 0.85) * height)
    bend = random.random() < 0.3
    motion = Motion(
        place=(float(middle[0] - 3 * velocity[0]), float(middle[1] - 3 * velocity[1])),
        velocity=velocity,
        angle=float(random.uniform(0, 6.28)),
        spin=float(random.normal(0, 0.03 * speed)),
        growth=float(random.normal(0, 0.008)),
        wave=(float(random.uniform(1, 4)), float(random.uniform(1.2, 2.5) * radius), float(random.normal(0, 0.25)))
        if bend
        else (0.0, 1.0, 0.0),
    )
    shape = _shape(random, radius)
    if not flat:
        softness = float(random.choice([1, 1, 1, 3, 6]))
        return Layer(shape=shape, texture=_texture(random), motion=motion, extent=radius * 1.25, softness=softness)
    details = []
    for _ in range(int(random.integers(0, 4))):
        x, y = (float(value) for value in random.uniform(-0.35, 0.35, 2) * radius)
        size = radius * float(random.uniform(0.08, 0.25))
        details.append((Ellipse(size, size * float(random.uniform(0.5, 1)), (x, y)), Flat(_colour(random))))
    outline = float(random.uniform(1.2, 3) * max(1, min(width, height) / 270))
    return Layer(
        shape=shape, texture=_cel(random, radius), motion=motion, extent=radius * 1.25, outline=outline, details=details
    )


def _camera(random: np.random.Generator, width: int, height: int, pace: float) -> Array:
    angle, size = random.uniform(0, 2 * np.pi), pace * min(width, height) / 180 * random.gamma(1.5, 1)
    return np.array([size * np.cos(angle), 0.5 * size * np.sin(angle)], np.float32)


def _background(random: np.random.Generator, width: int, height: int, camera: Array, *, flat: bool) -> list[Layer]:
    middle = (width / 2, height / 2)
    motion = Motion(
        place=middle,
        velocity=(float(camera[0]), float(camera[1])),
        spin=float(random.normal(0, 0.003)),
        growth=float(random.normal(0, 0.004)),
        size=1.0,
    )
    if not flat:
        light = GradientNoise(int(random.integers(1 << 30)), float(min(width, height)), 2)
        return [Layer(shape=everywhere, texture=Shaded(_texture(random), light, 0.35), motion=motion)]
    sky = Gradient(
        _colour(random, 0.4, 1.0), _colour(random, 0.4, 1.0), -height / 2, height / 2, steps=int(random.choice([0, 5]))
    )
    layers = [Layer(shape=everywhere, texture=sky, motion=replace(motion, spin=0.0, growth=0.0))]
    for depth in (0.6, 1.0):
        waves = tuple(
            (
                float(random.uniform(0.02, 0.1) * height),
                float(random.uniform(0.2, 1.2) * width),
                float(random.uniform(0, 6.28)),
            )
            for _ in range(3)
        )
        slow = replace(motion, velocity=(float(camera[0] * depth), float(camera[1] * depth)))
        ridge = Ridge(float((0.35 * depth - 0.1) * height), waves)
        layers.append(Layer(shape=ridge, texture=Flat(_colour(random, 0.2, 0.8)), motion=slow, outline=1.5))
    return layers


def _textured(random: np.random.Generator, width: int, height: int, seed: int) -> Scene:
    camera = _camera(random, width, height, 1.5)
    things = [_thing(random, width, height, camera, flat=False, speed=1.0) for _ in range(int(random.integers(2, 6)))]
    return Scene(
        layers=[*_background(random, width, height, camera, flat=False), *things], width=width, height=height, seed=seed
    )


def _flat(random: np.random.Generator, width: int, height: int, seed: int) -> Scene:
    camera = _camera(random, width, height, 1.2)
    things = [_thing(random, width, height, camera, flat=True, speed=1.0) for _ in range(int(random.integers(2, 6)))]
    return Scene(
        layers=[*_background(random, width, height, camera, flat=True), *things], width=width, height=height, seed=seed
    )


def _mixed(random: np.random.Generator, width: int, height: int, seed: int) -> Scene:
    camera = _camera(random, width, height, 1.5)
    background = _background(random, width, height, camera, flat=bool(random.random() < 0.35))
    things = [
        _thing(random, width, height, camera, flat=bool(random.random() < 0.5), speed=1.2)
        for _ in range(int(random.integers(2, 7)))
    ]
    change = float(random.normal(0, 0.02)) if random.random() < 0.2 else 0.0
    return Scene(layers=[*background, *things], width=width, height=height, gain=(1.0, change), seed=seed)


def _pan(random: np.random.Generator, width: int, height: int, seed: int) -> Scene:
    pace = float(random.choice([-1, 1]) * random.uniform(0.05, 0.12) * width)
    camera = np.array([pace, random.normal(0, 0.01) * height], np.float32)
    background = _background(random, width, height, camera, flat=bool(random.random() < 0.3))
    things = [
        _thing(random, width, height, camera, flat=bool(random.random() < 0.4), speed=0.6)
        for _ in range(int(random.integers(3, 7)))
    ]
    return Scene(layers=[*background, *things], width=width, height=height, seed=seed)


def _dark(random: np.random.Generator, width: int, height: int, seed: int) -> Scene:
    bright = _textured(random, width, height, seed)
    return replace(bright, grain=float(random.uniform(0.008, 0.02)), gain=(float(random.uniform(0.1, 0.22)), 0.0))


KINDS: dict[str, Callable[[np.random.Generator, int, int, int], Scene]] = {
    "mixed": _mixed,
    "textured": _textured,
    "flat": _flat,
    "pan": _pan,
    "dark": _dark,
}
