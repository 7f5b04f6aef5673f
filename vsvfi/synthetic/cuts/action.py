"""Clips of fights: strings of irregular flashes that light parts of the picture, and whip pans right after a cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vsvfi.synthetic.cuts.clip import CutClip, Frames
from vsvfi.synthetic.cuts.real import Maker
from vsvfi.synthetic.cuts.shots import HEIGHT, LENGTH, WIDTH, Shot, joined, places, shot_of
from vsvfi.synthetic.texture import Array

_AFTER_CUT = 3
"""Frames from a cut to the beginning of the whip pan."""


def _lights(rng: np.random.Generator, frames: range, share: float) -> dict[int, Array]:
    """Light that is added to frames, by index: [3, HEIGHT, WIDTH]; each flash has another place, size and strength."""
    lights: dict[int, Array] = {}
    warm = np.array([1.0, rng.uniform(0.7, 0.95), rng.uniform(0.3, 0.8)], np.float32)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for index in frames:
        if rng.uniform() > share:
            continue
        total = np.zeros((HEIGHT, WIDTH), np.float32)
        for _ in range(int(rng.integers(1, 3))):
            y, x = rng.uniform(0.2, 0.8) * HEIGHT, rng.uniform(0.05, 0.95) * WIDTH
            size = rng.uniform(0.2, 0.9) * HEIGHT
            total += float(rng.uniform(0.3, 1.0)) * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / size**2)
        lights[index] = warm[:, None, None] * total
    return lights


def _lit(images: Frames, lights: dict[int, Array], darkness: float) -> Frames:
    """Images darkened by a factor, with lights that shine on what is there and veil it."""

    def image(index: int) -> Array:
        shown = images(index)
        light = lights.get(index)
        if light is None:
            return np.asarray(shown * darkness, dtype=np.float32)
        return np.asarray(np.clip(shown * (darkness + light) + 0.35 * light, 0, 1), dtype=np.float32)

    return image


def _fighter(rng: np.random.Generator) -> Shot:
    return shot_of(rng, sprite=float(rng.uniform(12, 30)), sprite_velocity=(0.0, float(rng.uniform(-7, 7))))


def _gunfire(darkness: tuple[float, float], share: tuple[float, float]) -> Maker:
    """Bursts of flashes, without a cut."""

    def maker(kind: str, rng: np.random.Generator, seed: int) -> CutClip:
        shot, frames = _fighter(rng), float(rng.uniform(*share))
        lights = {
            index: light
            for start in (5, 20, 35)
            for index, light in _lights(rng, range(start, start + int(rng.integers(5, 10))), frames).items()
        }
        images = _lit(shot.image, lights, float(rng.uniform(*darkness)))
        return CutClip(f"{kind}-{seed}", kind, LENGTH, frozenset(), images, 0.004, seed)

    return maker


def _cut_gunfire(kind: str, rng: np.random.Generator, seed: int) -> CutClip:
    """Cuts with flashes on both sides of them, as close as two frames."""
    starts = places(rng, 2, 8)
    images = joined([_fighter(rng) for _ in range(3)], starts)
    lights: dict[int, Array] = {}
    for start in starts:
        lights |= _lights(rng, range(start - 6, start - 1), 0.6) | _lights(rng, range(start + 1, start + 7), 0.6)
    lit = _lit(images, lights, float(rng.uniform(0.3, 0.9)))
    return CutClip(f"{kind}-{seed}", kind, LENGTH, frozenset(starts), lit, 0.004, seed)


def _whip_after(frames: tuple[int, int], distance: tuple[float, float]) -> Callable[[np.random.Generator, int], Shot]:
    """A shot that stands still for three frames after its cut, and then pans so far within so many frames."""

    def make(rng: np.random.Generator, start: int) -> Shot:
        length, far = float(rng.integers(*frames, endpoint=True)), float(rng.uniform(*distance)) * WIDTH
        begin = start + _AFTER_CUT - 1  # the step that starts at this frame is the first that moves

        def gone(time: float) -> float:
            part = min(max((time - begin) / length, 0.0), 1.0)
            return part * part * (3 - 2 * part) if length > 4 else part

        shot = shot_of(rng, zoom=0.0, shake=0.0, sprite=0.0, shutter=float(rng.choice([0.0, 0.5, 0.9])), speed=gone)
        return replace(shot, velocity=(float(rng.uniform(-0.1, 0.1)) * far, far * float(rng.choice([-1, 1]))))

    return make


def _cut_whip(kind: str, rng: np.random.Generator, seed: int) -> CutClip:
    """A whip pan that begins three frames after each cut."""
    starts = places(rng, 2, 12)
    make = _whip_after((2, 8), (0.4, 1.2))
    images = joined([shot_of(rng), *(make(rng, start) for start in starts)], starts)
    return CutClip(f"{kind}-{seed}", kind, LENGTH, frozenset(starts), images, 0.004, seed)


ACTION: dict[str, Maker] = {
    "gunfire": _gunfire((0.6, 1.0), (0.5, 0.8)),
    "gunfire in the dark": _gunfire((0.08, 0.3), (0.5, 0.8)),
    "cut, amid gunfire": _cut_gunfire,
    "cut, then a whip pan": _cut_whip,
}
