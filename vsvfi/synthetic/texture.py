"""Procedural textures evaluated at exact positions: noise, stripes, tiles and flat shading.

A texture is called with positions u, v (any equal shape, in layer pixels) and the footprint of one frame pixel in those
units; it returns RGB [3, ...] float32. Edges are antialiased over the footprint, so sub-pixel motion is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Array = NDArray[np.float32]
type Texture = Callable[[Array, Array, float], Array]
type Colour = tuple[float, float, float]

_PERIOD = 64  # lattice cells after which noise repeats; a power of two


def smooth_step(distance: Array, width: float) -> Array:
    """Coverage of a pixel by a straight edge: 0 below -width / 2, 1 above +width / 2, linear between."""
    covered: Array = np.clip(distance / np.float32(max(width, 1e-6)) + np.float32(0.5), 0, 1)
    return covered


def mix(first: Array, second: Array, amount: Array) -> Array:
    """`first` where amount [...] is 0, `second` where it is 1; colours [3, ...]."""
    return first + amount * (second - first)


def colour_like(colour: Colour, shape: Sequence[int]) -> Array:
    """`colour` as a broadcastable view [3, *shape]."""
    return np.broadcast_to(np.asarray(colour, np.float32).reshape(3, *(1 for _ in shape)), (3, *shape))


def ramp(value: Array, colours: Array) -> Array:
    """Colours [N, 3] along [0, 1], linearly: value [...] -> [3, ...]."""
    position = np.clip(value, 0, 1) * np.float32(len(colours) - 1)
    lower = np.minimum(position.astype(np.intp), len(colours) - 2)
    part = position - lower.astype(np.float32)
    table = colours.T.astype(np.float32)
    result: Array = table[:, lower] + part * (table[:, lower + 1] - table[:, lower])
    return result


class GradientNoise:
    """Isotropic gradient noise of several octaves, in about -1..1, with a period of 64 wavelengths."""

    def __init__(self, seed: int, wavelength: float, octaves: int = 3, gain: float = 0.55) -> None:
        angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, (_PERIOD, _PERIOD))
        self._across = np.cos(angles).astype(np.float32).ravel()
        self._down = np.sin(angles).astype(np.float32).ravel()
        self._wavelengths = [wavelength / 2**octave for octave in range(octaves)]
        self._gain = gain

    def __call__(self, u: Array, v: Array) -> Array:
        total = np.zeros(np.broadcast_shapes(u.shape, v.shape), np.float32)
        for octave, wavelength in enumerate(self._wavelengths):
            scale = np.float32(1 / wavelength)
            total += np.float32(1.5 * self._gain**octave) * self._octave(
                u * scale + np.float32(17.3 * octave), v * scale + np.float32(5.9 * octave)
            )
        return total

    def _octave(self, u: Array, v: Array) -> Array:
        column, row = np.floor(u), np.floor(v)
        x, y = u - column, v - row
        left, top = column.astype(np.int32) & (_PERIOD - 1), row.astype(np.int32) & (_PERIOD - 1)
        right, bottom = (left + 1) & (_PERIOD - 1), ((top + 1) & (_PERIOD - 1)) * _PERIOD
        top = top * _PERIOD
        one = np.float32(1)
        fade_x = x * x * x * (x * (x * np.float32(6) - np.float32(15)) + np.float32(10))
        fade_y = y * y * y * (y * (y * np.float32(6) - np.float32(15)) + np.float32(10))
        upper = self._corner(top + left, x, y)
        upper += fade_x * (self._corner(top + right, x - one, y) - upper)
        lower = self._corner(bottom + left, x, y - one)
        lower += fade_x * (self._corner(bottom + right, x - one, y - one) - lower)
        return upper + fade_y * (lower - upper)

    def _corner(self, index: NDArray[np.int32], x: Array, y: Array) -> Array:
        product: Array = self._across[index] * x + self._down[index] * y
        return product


class Noise:
    """Cloud, rock, grass: gradient noise through a ramp of colours [N, 3]."""

    def __init__(
        self,
        seed: int,
        wavelength: float,
        colours: Array,
        *,
        octaves: int = 3,
        stretch: float = 1.0,
        contrast: float = 1.0,
    ) -> None:
        self._noise = GradientNoise(seed, wavelength, octaves)
        self._colours = colours
        self._stretch = np.float32(1 / stretch)
        self._contrast = np.float32(contrast / 2)

    def __call__(self, u: Array, v: Array, footprint: float) -> Array:
        return ramp(self._noise(u * self._stretch, v) * self._contrast + np.float32(0.5), self._colours)


@dataclass(frozen=True, slots=True)
class Stripes:
    """Parallel stripes of two textures at an angle (radians); `duty` of each period (pixels) is the second."""

    first: Texture
    second: Texture
    period: float
    angle: float = 0.0
    duty: float = 0.5

    def __call__(self, u: Array, v: Array, footprint: float) -> Array:
        along = u * np.float32(np.cos(self.angle)) + v * np.float32(np.sin(self.angle))
        phase = np.abs(np.mod(along, np.float32(self.period)) - np.float32(self.period / 2))
        inside = smooth_step(np.float32(self.duty * self.period / 2) - phase, footprint)
        return mix(self.first(u, v, footprint), self.second(u, v, footprint), inside)


@dataclass(frozen=True, slots=True)
class Tiles:
    """A grid of rectangles of the second texture (bricks, windows).

    `cell` is (width, height) and `gap` the space between, in pixels.
    """

    first: Texture
    second: Texture
    cell: tuple[float, float]
    gap: float
    stagger: float = 0.0

    def __call__(self, u: Array, v: Array, footprint: float) -> Array:
        across, down = self.cell
        row = np.floor(v / np.float32(down))
        x = np.abs(np.mod(u + row * np.float32(self.stagger * across), np.float32(across)) - np.float32(across / 2))
        y = np.abs(np.mod(v, np.float32(down)) - np.float32(down / 2))
        inside = smooth_step(np.float32((across - self.gap) / 2) - x, footprint) * smooth_step(
            np.float32((down - self.gap) / 2) - y, footprint
        )
        return mix(self.first(u, v, footprint), self.second(u, v, footprint), inside)


@dataclass(frozen=True, slots=True)
class Flat:
    """One colour."""

    colour: Colour

    def __call__(self, u: Array, v: Array, footprint: float) -> Array:
        return colour_like(self.colour, np.broadcast_shapes(u.shape, v.shape))


@dataclass(frozen=True, slots=True)
class Gradient:
    """A gradient from `first` to `second` along `angle`, between the distances `start` and `end`.

    With `steps`, it has that many flat bands (cel shading).
    """

    first: Colour
    second: Colour
    start: float
    end: float
    angle: float = np.pi / 2
    steps: int = 0

    def __call__(self, u: Array, v: Array, footprint: float) -> Array:
        along = u * np.float32(np.cos(self.angle)) + v * np.float32(np.sin(self.angle))
        part = np.clip((along - np.float32(self.start)) / np.float32(self.end - self.start), 0, 1)
        if self.steps > 1:
            position = part * np.float32(self.steps)
            band = np.minimum(np.floor(position), np.float32(self.steps - 1))
            width = footprint * self.steps / abs(self.end - self.start)
            # the last half pixel before the next band belongs partly to it
            rising = np.clip((position - band - np.float32(1)) / np.float32(width) + np.float32(1), 0, 1) * (
                band < self.steps - 1
            )
            part = np.clip((band + rising) / np.float32(self.steps - 1), 0, 1)
        shape = part.shape
        return mix(colour_like(self.first, shape), colour_like(self.second, shape), part)


@dataclass(frozen=True, slots=True)
class Shaded:
    """A texture made lighter and darker by broad noise, as by uneven light."""

    base: Texture
    light: GradientNoise
    strength: float

    def __call__(self, u: Array, v: Array, footprint: float) -> Array:
        shade: Array = self.base(u, v, footprint) * (np.float32(1) + np.float32(self.strength) * self.light(u, v))
        return shade
