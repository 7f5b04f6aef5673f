"""Layers of a scene: a shape with a texture and a motion.

Positions are pixels, x to the right and y down, the centre of the first pixel at (0, 0). A motion maps layer
coordinates to frame coordinates and back, both in closed form, so flow is exact. Times are in frames, any real number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vsvfi.synthetic.texture import Array, Colour, Texture, colour_like, mix

type Shape = Callable[[Array, Array], Array]
"""Signed distance to the edge in layer pixels, negative inside, about true within a few pixels of the edge."""


def everywhere(u: Array, v: Array) -> Array:
    """A shape without an edge."""
    return np.full(u.shape, -1e6, np.float32)


@dataclass(frozen=True, slots=True)
class Ellipse:
    """Axis-parallel ellipse around `centre` with two radii."""

    across: float
    down: float
    centre: tuple[float, float] = (0.0, 0.0)

    def __call__(self, u: Array, v: Array) -> Array:
        x, y = (
            (u - np.float32(self.centre[0])) / np.float32(self.across),
            (v - np.float32(self.centre[1])) / np.float32(self.down),
        )
        radius = np.sqrt(x * x + y * y)
        slope = np.sqrt((x / np.float32(self.across)) ** 2 + (y / np.float32(self.down)) ** 2)
        centre = np.float32(-min(self.across, self.down))
        distance: Array = np.where(
            radius < 1e-3, centre, radius * (radius - 1) / np.maximum(slope, np.float32(1e-6))
        ).astype(np.float32, copy=False)
        return distance


@dataclass(frozen=True, slots=True)
class Box:
    """Rectangle of two half sizes with rounded corners."""

    across: float
    down: float
    rounding: float = 0.0
    centre: tuple[float, float] = (0.0, 0.0)

    def __call__(self, u: Array, v: Array) -> Array:
        x = np.abs(u - np.float32(self.centre[0])) - np.float32(self.across - self.rounding)
        y = np.abs(v - np.float32(self.centre[1])) - np.float32(self.down - self.rounding)
        outside = np.sqrt(np.maximum(x, 0) ** 2 + np.maximum(y, 0) ** 2)
        distance: Array = outside + np.minimum(np.maximum(x, y), 0) - np.float32(self.rounding)
        return distance


@dataclass(frozen=True, slots=True)
class Blob:
    """A closed curve around the origin whose radius varies by `waves`.

    Wave number k, from 1, is a pair (share of the radius, phase) and has k periods per turn.
    """

    radius: float
    waves: tuple[tuple[float, float], ...]

    def __call__(self, u: Array, v: Array) -> Array:
        angle = np.arctan2(v, u)
        radius, slope = np.ones_like(angle), np.zeros_like(angle)
        for count, (share, phase) in enumerate(self.waves, 1):
            radius += np.float32(share) * np.cos(angle * np.float32(count) + np.float32(phase))
            slope -= np.float32(share * count) * np.sin(angle * np.float32(count) + np.float32(phase))
        distance: Array = (
            (np.hypot(u, v) - np.float32(self.radius) * radius) / np.hypot(np.float32(1), slope / radius)
        ).astype(np.float32, copy=False)
        return distance


@dataclass(frozen=True, slots=True)
class Capsule:
    """A thick line from `start` to `end`: limbs, poles."""

    start: tuple[float, float]
    end: tuple[float, float]
    radius: float

    def __call__(self, u: Array, v: Array) -> Array:
        x, y = self.end[0] - self.start[0], self.end[1] - self.start[1]
        a, b = u - np.float32(self.start[0]), v - np.float32(self.start[1])
        part = np.clip((a * np.float32(x) + b * np.float32(y)) / np.float32(max(x * x + y * y, 1e-6)), 0, 1)
        distance: Array = np.hypot(a - part * np.float32(x), b - part * np.float32(y)) - np.float32(self.radius)
        return distance


@dataclass(frozen=True, slots=True)
class Ridge:
    """Everything below a wavy horizon at height `level`; waves are (height, wavelength, phase)."""

    level: float
    waves: tuple[tuple[float, float, float], ...]

    def __call__(self, u: Array, v: Array) -> Array:
        height, slope = np.full(u.shape, self.level, np.float32), np.zeros(u.shape, np.float32)
        for size, wavelength, phase in self.waves:
            angle = u * np.float32(2 * np.pi / wavelength) + np.float32(phase)
            height += np.float32(size) * np.sin(angle)
            slope += np.float32(size * 2 * np.pi / wavelength) * np.cos(angle)
        distance: Array = ((height - v) / np.hypot(np.float32(1), slope)).astype(np.float32, copy=False)
        return distance


@dataclass(frozen=True, slots=True)
class Union:
    """All of several shapes together."""

    parts: tuple[Shape, ...]

    def __call__(self, u: Array, v: Array) -> Array:
        distance: Array = np.minimum.reduce([part(u, v) for part in self.parts])
        return distance


def _ripple(along: Array, wavelength: float, phase: float) -> Array:
    """A sine wave of size 1."""
    wave: Array = np.sin(along * np.float32(2 * np.pi / wavelength) + np.float32(phase))
    return wave


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Motion of a layer: a wave deformation, then scaling and rotation about its origin, then translation.

    Attributes:
        place: of the layer's origin at t = 0, pixels.
        velocity, acceleration: pixels per frame, pixels per frame squared.
        swing: (size in pixels x, y, radians per frame, phase) of a sinusoidal sway.
        angle, spin: radians at t = 0, radians per frame.
        size, growth: pixels of the image per layer pixel at t = 0; its natural logarithm's change per frame.
        wave: (size in layer pixels, wavelength, radians per frame) of a travelling wave, first along x, then along y.
    """

    place: tuple[float, float] = (0.0, 0.0)
    velocity: tuple[float, float] = (0.0, 0.0)
    acceleration: tuple[float, float] = (0.0, 0.0)
    swing: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    angle: float = 0.0
    spin: float = 0.0
    size: float = 1.0
    growth: float = 0.0
    wave: tuple[float, float, float] = (0.0, 1.0, 0.0)

    def magnification(self, t: float) -> float:
        """Frame pixels per layer pixel."""
        return float(self.size * np.exp(self.growth * t))

    def origin(self, t: float) -> tuple[float, float]:
        """Position of the layer's origin in the frame."""
        sway = np.sin(self.swing[2] * t + self.swing[3])
        x, y = (
            self.place[i] + self.velocity[i] * t + self.acceleration[i] * t * t / 2 + self.swing[i] * sway
            for i in (0, 1)
        )
        return float(x), float(y)

    def to_layer(self, x: Array, y: Array, t: float) -> tuple[Array, Array]:
        """Map frame positions to layer positions at time t."""
        left, top = self.origin(t)
        a, b = x - np.float32(left), y - np.float32(top)
        turn, zoom = self.angle + self.spin * t, 1 / self.magnification(t)
        cosine, sine = np.float32(np.cos(turn) * zoom), np.float32(np.sin(turn) * zoom)
        u, v = cosine * a + sine * b, cosine * b - sine * a
        size, wavelength, speed = self.wave
        if size:
            v = v - np.float32(size) * _ripple(u, wavelength, -speed * t)
            u = u - np.float32(size) * _ripple(v, wavelength, speed * t)
        return u, v

    def to_image(self, u: Array, v: Array, t: float) -> tuple[Array, Array]:
        """Map layer positions to frame positions at time t: the exact inverse of `to_layer`."""
        size, wavelength, speed = self.wave
        if size:
            u = u + np.float32(size) * _ripple(v, wavelength, speed * t)
            v = v + np.float32(size) * _ripple(u, wavelength, -speed * t)
        left, top = self.origin(t)
        turn, zoom = self.angle + self.spin * t, self.magnification(t)
        cosine, sine = np.float32(np.cos(turn) * zoom), np.float32(np.sin(turn) * zoom)
        return cosine * u - sine * v + np.float32(left), sine * u + cosine * v + np.float32(top)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A shape with a texture and a motion.

    Attributes:
        extent: radius in layer pixels outside which there is nothing, or None for a layer without bounds.
        softness: width of the edge in pixels; 1 is a hard, antialiased edge.
        outline: width in pixels of a line drawn inside the edge, 0 for none.
        details: smaller layers painted onto this one and moving with it, in its coordinates: pairs (shape, texture).
    """

    shape: Shape
    texture: Texture
    motion: Motion = field(default_factory=Motion)
    extent: float | None = None
    softness: float = 1.0
    outline: float = 0.0
    outline_colour: Colour = (0.08, 0.07, 0.1)
    details: Sequence[tuple[Shape, Texture]] = ()

    def window(self, width: int, height: int, t: float) -> tuple[slice, slice] | None:
        """Rows and columns of the frame that the layer can cover at time t, or None if it is outside."""
        if self.extent is None:
            return slice(0, height), slice(0, width)
        reach = (self.extent + 2 * abs(self.motion.wave[0])) * self.motion.magnification(t) + self.softness + 1
        x, y = self.motion.origin(t)
        left, right = max(0, int(np.floor(x - reach))), min(width, int(np.ceil(x + reach)) + 1)
        top, bottom = max(0, int(np.floor(y - reach))), min(height, int(np.ceil(y + reach)) + 1)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def paint(self, x: Array, y: Array, t: float) -> tuple[Array, Array]:
        """Colour [3, ...] and coverage [...] in [0, 1] at frame positions."""
        u, v = self.motion.to_layer(x, y, t)
        zoom = np.float32(self.motion.magnification(t))
        footprint = float(1 / zoom)
        distance = self.shape(u, v) * zoom
        coverage = np.clip(np.float32(0.5) - distance / np.float32(self.softness), 0, 1)
        colour = self.texture(u, v, footprint)
        for shape, texture in self.details:
            inner = shape(u, v) * zoom
            colour = mix(colour, texture(u, v, footprint), np.clip(np.float32(0.5) - inner, 0, 1))
            if self.outline:
                line = np.clip(np.float32(self.outline / 2 + 0.5) - np.abs(inner), 0, 1)
                colour = mix(colour, colour_like(self.outline_colour, u.shape), line)
        if self.outline:
            line = np.clip(distance + np.float32(self.outline + 0.5), 0, 1)
            colour = mix(colour, colour_like(self.outline_colour, u.shape), line)
        return colour, coverage
