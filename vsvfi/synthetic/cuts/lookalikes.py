"""Clips without cuts but with effects that detectors mistake for them: flashes, fades, pans, fast objects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vsvfi.synthetic.cuts.clip import CutClip, Frames
from vsvfi.synthetic.cuts.real import Maker
from vsvfi.synthetic.cuts.shots import HEIGHT, LENGTH, WIDTH, Shot, dim, noise, on_twos, places, shot_of
from vsvfi.synthetic.texture import Array


def _none(make: Callable[[np.random.Generator], Frames], grain: float = 0.004) -> Maker:
    """A kind without any cut."""

    def maker(kind: str, rng: np.random.Generator, seed: int) -> CutClip:
        return CutClip(f"{kind}-{seed}", kind, LENGTH, frozenset(), make(rng), grain, seed)

    return maker


def _flash(
    frames: tuple[int, int], strength: tuple[float, float], to: float = 1.0
) -> Callable[[np.random.Generator], Frames]:
    """Two flashes, of so many frames, towards white (1) or black (0)."""

    def make(rng: np.random.Generator) -> Frames:
        shot = shot_of(rng)
        lit = {
            start + later for start in places(rng, 2, 10) for later in range(int(rng.integers(*frames, endpoint=True)))
        }
        light = float(rng.uniform(*strength))
        return lambda index: shot.image(index) * (1 - light) + light * to if index in lit else shot.image(index)

    return make


def _strobe(rng: np.random.Generator) -> Frames:
    shot, period, light = shot_of(rng), int(rng.choice([2, 3, 4])), float(rng.uniform(0.4, 0.9))
    return lambda index: shot.image(index) * (1 - light) + light if index % period == 0 else shot.image(index)


def _fade(rng: np.random.Generator) -> Frames:
    """Out to one colour and in again from it to another scene."""
    first, second, length, colour = (
        shot_of(rng),
        shot_of(rng),
        int(rng.integers(6, 18)),
        float(rng.choice([0.0, 0.0, 1.0])),
    )

    def image(index: int) -> Array:
        away = abs(index - LENGTH // 2) - 2
        shown = min(max(away / length, 0.0), 1.0)
        return (first if index < LENGTH // 2 else second).image(index) * shown + colour * (1 - shown)

    return image


def _dissolve(rng: np.random.Generator) -> Frames:
    first, second, length = shot_of(rng), shot_of(rng), int(rng.integers(8, 30))

    def image(index: int) -> Array:
        part = min(max((index - LENGTH // 2) / length + 0.5, 0.0), 1.0)
        return first.image(index) * (1 - part) + second.image(index) * part

    return image


def _exposure(rng: np.random.Generator) -> Frames:
    shot, place, gain, frames = (
        shot_of(rng),
        int(rng.integers(12, 36)),
        float(rng.choice([0.45, 0.6, 1.6, 2.0])),
        int(rng.choice([1, 2, 5])),
    )
    return lambda index: shot.image(index) * gain ** min(max((index - place) / frames, 0.0), 1.0)


def _pan(
    low: float, high: float, shutter: float, hold: tuple[int, ...] = (1,)
) -> Callable[[np.random.Generator], Frames]:
    def make(rng: np.random.Generator) -> Frames:
        speed = float(rng.uniform(low, high)) * float(rng.choice([-1, 1]))
        return shot_of(
            rng,
            velocity=(float(rng.uniform(-0.3, 0.3)) * speed, speed),
            shutter=shutter,
            zoom=0.0,
            hold=int(rng.choice(hold)),
        ).image

    return make


def _whip(rng: np.random.Generator) -> Frames:
    """A whip pan between two static views: half to one and a half frame widths in 5 to 12 frames."""
    middle, frames, distance = LENGTH / 2, float(rng.uniform(5, 12)), float(rng.uniform(0.5, 1.5)) * WIDTH

    def speed(time: float) -> float:
        return float(1 / (1 + np.exp(-(time - middle) * 8 / frames)))

    shot = shot_of(rng, zoom=0.0, shutter=float(rng.choice([0.0, 0.5, 0.9])), speed=speed)
    shot.velocity = (float(rng.uniform(-0.1, 0.1)) * distance, distance * float(rng.choice([-1, 1])))
    return shot.image


def _foreground(rng: np.random.Generator) -> Frames:
    """A fast object that covers up to half of the frame."""
    return shot_of(
        rng,
        sprite=float(rng.uniform(35, 55)),
        sprite_velocity=(float(rng.uniform(-3, 3)), float(rng.choice([-1, 1]) * rng.uniform(12, 30))),
        shutter=0.5,
    ).image


def _zoom(rng: np.random.Generator) -> Frames:
    shot, rate = shot_of(rng), float(rng.choice([-1, 1]) * rng.uniform(0.03, 0.07))
    shot.speed, shot.zoom, shot.shutter = (lambda time: 0.0), rate if rate > 0 else rate / 4, 0.5
    return shot.image


def _shake(rng: np.random.Generator) -> Frames:
    return shot_of(rng, shake=float(rng.uniform(5, 9)), shutter=0.3).image


def _explosion(rng: np.random.Generator) -> Frames:
    """A bright ball that grows over the frame within a few frames and fades away."""
    shot, place, frames = shot_of(rng), int(rng.integers(12, 30)), float(rng.uniform(3, 6))
    y, x = (
        np.arange(HEIGHT)[:, None] - rng.uniform(0.3, 0.7) * HEIGHT,
        np.arange(WIDTH)[None, :] - rng.uniform(0.3, 0.7) * WIDTH,
    )
    away, fire = np.hypot(y, x), noise(rng, 1.5)[:HEIGHT, :WIDTH]

    def image(index: int) -> Array:
        since = index - place
        if since < 0:
            return shot.image(index)
        light = np.clip((min(since, frames) / frames * 130 - away) / 25, 0, 1) * np.exp(-max(since - frames, 0) / 6)
        colour = np.stack([0.9 + 0.1 * fire, 0.5 + 0.4 * fire, 0.2 + 0.3 * fire])
        return np.asarray(shot.image(index) * (1 - light) + colour * light, dtype=np.float32)

    return image


def _credits(rng: np.random.Generator) -> Frames:
    rows = np.zeros((256, 256), np.float32)
    for row in range(0, 256, 16):
        start, width = int(rng.integers(40, 90)), int(rng.integers(40, 90))
        rows[row : row + 7, start : start + width] = rng.random((7, width)) > 0.4
    shot = Shot(np.repeat(rows[None], 3, 0) * 0.9, start=(0.0, 128.0), velocity=(float(rng.uniform(1, 6)), 0.0))
    return shot.image


def _subtitles(rng: np.random.Generator) -> Frames:
    shot, starts = shot_of(rng), places(rng, 3, 8)
    if rng.random() < 0.5:
        shot.velocity, shot.sprite, shot.zoom, shot.shake = (0.0, 0.0), 0.0, 0.0, 0.0
    texts = [rng.random((14, 120)) > 0.45 for _ in range(4)]

    def image(index: int) -> Array:
        image, part = shot.image(index), int(np.searchsorted(starts, index, side="right"))
        if part:
            image[:, 86:100, 36:156][:, texts[part]] = 0.95
        return image

    return image


def _wipe(rng: np.random.Generator) -> Frames:
    first, second, frames = shot_of(rng), shot_of(rng), float(rng.uniform(8, 20))

    def image(index: int) -> Array:
        edge = int(min(max((index - 12) / frames, 0), 1) * WIDTH)
        shown = first.image(index)
        shown[:, :, :edge] = second.image(index)[:, :, :edge]
        return shown

    return image


def _boil(rng: np.random.Generator) -> Frames:
    """Water or fire: a texture that is largely new every frame over a scene that stays."""
    shot, seed, part = shot_of(rng), int(rng.integers(1 << 30)), float(rng.uniform(0.15, 0.35))
    return lambda index: np.asarray(
        shot.image(index) * (1 - part) + noise(np.random.default_rng((seed, index)), 1.2)[None, :HEIGHT, :WIDTH] * part,
        dtype=np.float32,
    )


def _dark_motion(rng: np.random.Generator) -> Frames:
    shot = shot_of(rng, velocity=(0.0, float(rng.uniform(3, 10))), sprite=30.0, shutter=0.5)
    return lambda index: dim(shot.image(index))


LOOKALIKES: dict[str, Maker] = {
    "flash of one frame": _none(_flash((1, 1), (0.4, 0.85))),
    "flash of 2 to 4 frames": _none(_flash((2, 4), (0.4, 0.85))),
    "white frame": _none(_flash((1, 2), (1.0, 1.0))),
    "black frame": _none(_flash((1, 2), (1.0, 1.0), to=0.0)),
    "strobe": _none(_strobe),
    "fade": _none(_fade),
    "dissolve": _none(_dissolve),
    "wipe": _none(_wipe),
    "exposure": _none(_exposure),
    "pan": _none(_pan(3, 20, 0.5)),
    "pan on twos or threes": _none(_pan(3, 8, 0.0, (2, 3))),
    "whip pan": _none(_whip),
    "fast foreground": _none(_foreground),
    "zoom": _none(_zoom),
    "shaking camera": _none(_shake),
    "animation on twos": _none(lambda rng: on_twos(rng).image, grain=0.0),
    "explosion": _none(_explosion),
    "credits": _none(_credits),
    "subtitles": _none(_subtitles),
    "water": _none(_boil),
    "dark motion": _none(_dark_motion, grain=0.012),
    "heavy grain": _none(lambda rng: shot_of(rng).image, grain=0.06),
}
