"""The catalogue of hard cases for a cut detector: each kind is a function from random numbers to one `Case`.

Kinds starting with "cut" contain cuts, the others contain none. Knows nothing of VapourSynth or of any detector.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from scripts.evaluate.scene_cases import HEIGHT, LENGTH, WIDTH, Case, Picture, Shot, joined, noise, shot_of

type Maker = Callable[[str, np.random.Generator, int], Case]
type Pictures = Callable[[int], Picture]


def _places(rng: np.random.Generator, count: int, shortest: int) -> list[int]:
    """`count` cut positions, at least `shortest` frames apart and from the ends."""
    while True:
        places = sorted(int(place) for place in rng.integers(shortest, LENGTH - shortest, count))
        if all(after - before >= shortest for before, after in pairwise(places)):
            return places


def _cut(
    make: Callable[[np.random.Generator, list[Shot]], Shot],
    count: int = 3,
    shortest: int = 6,
    grain: float = 0.004,
    change: Callable[[Picture], Picture] | None = None,
) -> Maker:
    """A kind made of shots joined by hard cuts; `change` is applied to every picture."""

    def maker(kind: str, rng: np.random.Generator, seed: int) -> Case:
        places = _places(rng, count, shortest)
        shots: list[Shot] = []
        for _ in range(count + 1):
            shots.append(make(rng, shots))
        pictures = joined(shots, places)
        return Case(
            f"{kind}-{seed}",
            kind,
            frozenset(places),
            (lambda index: change(pictures(index))) if change else pictures,
            grain,
            seed,
        )

    return maker


def _none(make: Callable[[np.random.Generator], Pictures], grain: float = 0.004) -> Maker:
    """A kind without any cut."""

    def maker(kind: str, rng: np.random.Generator, seed: int) -> Case:
        return Case(f"{kind}-{seed}", kind, frozenset(), make(rng), grain, seed)

    return maker


def _similar(rng: np.random.Generator, before: list[Shot]) -> Shot:
    """The colours of the shot before, another place."""
    if not before:
        first = shot_of(rng)
        first.sprite = 0.0
        return first
    shot = shot_of(rng, sprite=0.0)
    own = before[0].canvas.reshape(3, -1)
    pick = rng.permutation(own.shape[1])[:4096]
    palette = own[:, pick].T
    order = palette[np.argsort(palette.sum(1))]
    rank = np.argsort(np.argsort(shot.canvas.sum(0).ravel()))
    shot.canvas = (
        order[rank * len(order) // len(rank)].T.reshape(shot.canvas.shape).copy()
    )  # exactly the same histogram
    return shot


def _same_style(rng: np.random.Generator, before: list[Shot]) -> Shot:
    """A few of the colours of the shot before, painted in the same way."""
    if not before:
        return shot_of(rng, "natural")
    own = before[0].canvas.reshape(3, -1)
    return shot_of(rng, "natural", own[:, rng.permutation(own.shape[1])[:5]].T.copy())


def _reframed(rng: np.random.Generator, before: list[Shot]) -> Shot:
    """The same place from elsewhere: half a canvas away, mirrored."""
    shot = shot_of(rng)
    if before:
        last = before[-1]
        shot.canvas = last.canvas[:, :, ::-1]
        shot.start = (last.start[0] + float(rng.uniform(60, 190)), last.start[1] + float(rng.uniform(60, 190)))
        shot.velocity, shot.zoom, shot.shake = last.velocity, 0.0, 0.0
    return shot


def _action(rng: np.random.Generator, before: list[Shot]) -> Shot:
    return shot_of(
        rng,
        velocity=(float(rng.uniform(-3, 3)), float(rng.choice([-1, 1]) * rng.uniform(5, 12))),
        sprite=float(rng.uniform(15, 40)),
        sprite_velocity=(float(rng.uniform(-6, 6)), float(rng.choice([-1, 1]) * rng.uniform(8, 16))),
        shutter=0.5,
    )


def _flat(rng: np.random.Generator, before: list[Shot]) -> Shot:
    """Pale animation on twos or threes."""
    shot = shot_of(rng, "drawn", hold=int(rng.choice([2, 3])), shake=0.0, zoom=0.0)
    shot.canvas = np.asarray(0.62 + (shot.canvas - 0.5) * 0.18, dtype=np.float32)
    shot.sprite_colour = (0.6, 0.62, 0.7)
    return shot


def _on_twos(rng: np.random.Generator, before: list[Shot]) -> Shot:
    return shot_of(
        rng,
        "drawn",
        hold=int(rng.choice([2, 3])),
        sprite=float(rng.uniform(10, 30)),
        sprite_velocity=(0.0, float(rng.uniform(4, 9))),
    )


def _cut_black(kind: str, rng: np.random.Generator, seed: int) -> Case:
    places = _places(rng, 2, 8)
    shot, other = shot_of(rng), shot_of(rng)
    black = np.full((3, HEIGHT, WIDTH), 0.01, np.float32)

    def picture(index: int) -> Picture:
        return shot.picture(index) if index < places[0] else black if index < places[1] else other.picture(index)

    return Case(f"{kind}-{seed}", kind, frozenset(places), picture, 0.002, seed)


def _cut_flash(kind: str, rng: np.random.Generator, seed: int) -> Case:
    """A new scene that begins with a camera flash; the flash belongs to it."""
    places = _places(rng, 2, 8)
    pictures = joined([shot_of(rng) for _ in range(3)], places)
    frames = int(rng.integers(1, 3))

    def picture(index: int) -> Picture:
        since = min((index - place for place in places if index >= place), default=LENGTH)
        light = 0.6 * 0.6**since if since < frames else 0.0
        return pictures(index) * (1 - light) + light

    return Case(f"{kind}-{seed}", kind, frozenset(places), picture, 0.004, seed)


def _flash(
    frames: tuple[int, int], strength: tuple[float, float], to: float = 1.0
) -> Callable[[np.random.Generator], Pictures]:
    """Two flashes, of so many frames, towards white (1) or black (0)."""

    def make(rng: np.random.Generator) -> Pictures:
        shot = shot_of(rng)
        lit = {
            start + later for start in _places(rng, 2, 10) for later in range(int(rng.integers(*frames, endpoint=True)))
        }
        light = float(rng.uniform(*strength))
        return lambda index: shot.picture(index) * (1 - light) + light * to if index in lit else shot.picture(index)

    return make


def _strobe(rng: np.random.Generator) -> Pictures:
    shot, period, light = shot_of(rng), int(rng.choice([2, 3, 4])), float(rng.uniform(0.4, 0.9))
    return lambda index: shot.picture(index) * (1 - light) + light if index % period == 0 else shot.picture(index)


def _fade(rng: np.random.Generator) -> Pictures:
    """Out to one colour and in again from it to another scene."""
    first, second, length, colour = (
        shot_of(rng),
        shot_of(rng),
        int(rng.integers(6, 18)),
        float(rng.choice([0.0, 0.0, 1.0])),
    )

    def picture(index: int) -> Picture:
        away = abs(index - LENGTH // 2) - 2
        shown = min(max(away / length, 0.0), 1.0)
        return (first if index < LENGTH // 2 else second).picture(index) * shown + colour * (1 - shown)

    return picture


def _dissolve(rng: np.random.Generator) -> Pictures:
    first, second, length = shot_of(rng), shot_of(rng), int(rng.integers(8, 30))

    def picture(index: int) -> Picture:
        part = min(max((index - LENGTH // 2) / length + 0.5, 0.0), 1.0)
        return first.picture(index) * (1 - part) + second.picture(index) * part

    return picture


def _exposure(rng: np.random.Generator) -> Pictures:
    shot, place, gain, frames = (
        shot_of(rng),
        int(rng.integers(12, 36)),
        float(rng.choice([0.45, 0.6, 1.6, 2.0])),
        int(rng.choice([1, 2, 5])),
    )
    return lambda index: shot.picture(index) * gain ** min(max((index - place) / frames, 0.0), 1.0)


def _pan(
    low: float, high: float, shutter: float, hold: tuple[int, ...] = (1,)
) -> Callable[[np.random.Generator], Pictures]:
    def make(rng: np.random.Generator) -> Pictures:
        speed = float(rng.uniform(low, high)) * float(rng.choice([-1, 1]))
        return shot_of(
            rng,
            velocity=(float(rng.uniform(-0.3, 0.3)) * speed, speed),
            shutter=shutter,
            zoom=0.0,
            hold=int(rng.choice(hold)),
        ).picture

    return make


def _whip(rng: np.random.Generator) -> Pictures:
    """From rest through a fast turn to rest: half to one and a half pictures in 5 to 12 frames."""
    middle, frames, distance = LENGTH / 2, float(rng.uniform(5, 12)), float(rng.uniform(0.5, 1.5)) * WIDTH

    def speed(time: float) -> float:
        return float(1 / (1 + np.exp(-(time - middle) * 8 / frames)))

    shot = shot_of(rng, zoom=0.0, shutter=float(rng.choice([0.0, 0.5, 0.9])), speed=speed)
    shot.velocity = (float(rng.uniform(-0.1, 0.1)) * distance, distance * float(rng.choice([-1, 1])))
    return shot.picture


def _foreground(rng: np.random.Generator) -> Pictures:
    """Something that covers up to half of the picture rushes through."""
    return shot_of(
        rng,
        sprite=float(rng.uniform(35, 55)),
        sprite_velocity=(float(rng.uniform(-3, 3)), float(rng.choice([-1, 1]) * rng.uniform(12, 30))),
        shutter=0.5,
    ).picture


def _zoom(rng: np.random.Generator) -> Pictures:
    shot, rate = shot_of(rng), float(rng.choice([-1, 1]) * rng.uniform(0.03, 0.07))
    shot.speed, shot.zoom, shot.shutter = (lambda time: 0.0), rate if rate > 0 else rate / 4, 0.5
    return shot.picture


def _shake(rng: np.random.Generator) -> Pictures:
    return shot_of(rng, shake=float(rng.uniform(5, 9)), shutter=0.3).picture


def _explosion(rng: np.random.Generator) -> Pictures:
    """A bright ball that grows over the picture within a few frames and fades away."""
    shot, place, frames = shot_of(rng), int(rng.integers(12, 30)), float(rng.uniform(3, 6))
    y, x = (
        np.arange(HEIGHT)[:, None] - rng.uniform(0.3, 0.7) * HEIGHT,
        np.arange(WIDTH)[None, :] - rng.uniform(0.3, 0.7) * WIDTH,
    )
    away, fire = np.hypot(y, x), noise(rng, 1.5)[:HEIGHT, :WIDTH]

    def picture(index: int) -> Picture:
        since = index - place
        if since < 0:
            return shot.picture(index)
        light = np.clip((min(since, frames) / frames * 130 - away) / 25, 0, 1) * np.exp(-max(since - frames, 0) / 6)
        colour = np.stack([0.9 + 0.1 * fire, 0.5 + 0.4 * fire, 0.2 + 0.3 * fire])
        return np.asarray(shot.picture(index) * (1 - light) + colour * light, dtype=np.float32)

    return picture


def _credits(rng: np.random.Generator) -> Pictures:
    rows = np.zeros((256, 256), np.float32)
    for row in range(0, 256, 16):
        start, width = int(rng.integers(40, 90)), int(rng.integers(40, 90))
        rows[row : row + 7, start : start + width] = rng.random((7, width)) > 0.4
    shot = Shot(np.repeat(rows[None], 3, 0) * 0.9, start=(0.0, 128.0), velocity=(float(rng.uniform(1, 6)), 0.0))
    return shot.picture


def _subtitles(rng: np.random.Generator) -> Pictures:
    shot, places = shot_of(rng), _places(rng, 3, 8)
    if rng.random() < 0.5:
        shot.velocity, shot.sprite, shot.zoom, shot.shake = (0.0, 0.0), 0.0, 0.0, 0.0
    texts = [rng.random((14, 120)) > 0.45 for _ in range(4)]

    def picture(index: int) -> Picture:
        picture, part = shot.picture(index), int(np.searchsorted(places, index, side="right"))
        if part:
            picture[:, 86:100, 36:156][:, texts[part]] = 0.95
        return picture

    return picture


def _wipe(rng: np.random.Generator) -> Pictures:
    first, second, frames = shot_of(rng), shot_of(rng), float(rng.uniform(8, 20))

    def picture(index: int) -> Picture:
        edge = int(min(max((index - 12) / frames, 0), 1) * WIDTH)
        shown = first.picture(index)
        shown[:, :, :edge] = second.picture(index)[:, :, :edge]
        return shown

    return picture


def _boil(rng: np.random.Generator) -> Pictures:
    """Water or fire: a texture that is largely new every frame over a scene that stays."""
    shot, seed, part = shot_of(rng), int(rng.integers(1 << 30)), float(rng.uniform(0.15, 0.35))
    return lambda index: np.asarray(
        shot.picture(index) * (1 - part)
        + noise(np.random.default_rng((seed, index)), 1.2)[None, :HEIGHT, :WIDTH] * part,
        dtype=np.float32,
    )


def _dim(picture: Picture) -> Picture:
    return np.asarray(picture * 0.09 + 0.01, dtype=np.float32)


def _letterbox(picture: Picture) -> Picture:
    picture = picture.copy()
    picture[:, :18] = picture[:, -18:] = 0.0
    return picture


def _dark_motion(rng: np.random.Generator) -> Pictures:
    shot = shot_of(rng, velocity=(0.0, float(rng.uniform(3, 10))), sprite=30.0, shutter=0.5)
    return lambda index: _dim(shot.picture(index))


KINDS: dict[str, Maker] = {
    "cut": _cut(lambda rng, _: shot_of(rng)),
    "cut, still pictures": _cut(
        lambda rng, _: shot_of(rng, velocity=(0.0, 0.0), shake=0.0, zoom=0.0, sprite=0.0), grain=0.0
    ),
    "cut, same colours": _cut(_similar),
    "cut, same place": _cut(_reframed),
    "cut, same style": _cut(_same_style),
    "cut, action": _cut(_action),
    "cut, short scenes": _cut(lambda rng, _: shot_of(rng), count=5, shortest=4),
    "cut, dark with grain": _cut(lambda rng, _: shot_of(rng), grain=0.012, change=_dim),
    "cut, pale animation": _cut(_flat, grain=0.0),
    "cut, animation on twos": _cut(_on_twos, grain=0.002),
    "cut, letterbox": _cut(lambda rng, _: shot_of(rng), change=_letterbox),
    "cut, heavy grain": _cut(lambda rng, _: shot_of(rng), grain=0.05),
    "cut, to and from black": _cut_black,
    "cut, with a flash": _cut_flash,
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
    "animation on twos": _none(lambda rng: _on_twos(rng, []).picture, grain=0.0),
    "explosion": _none(_explosion),
    "credits": _none(_credits),
    "subtitles": _none(_subtitles),
    "water": _none(_boil),
    "dark motion": _none(_dark_motion, grain=0.012),
    "heavy grain": _none(lambda rng: shot_of(rng).picture, grain=0.06),
}
