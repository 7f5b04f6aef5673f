"""Clips with hard cuts, from obvious ones to ones that detectors miss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vsvfi.synthetic.cuts.clip import CutClip, Frames
from vsvfi.synthetic.cuts.shots import HEIGHT, LENGTH, WIDTH, Shot, dim, joined, on_twos, places, shot_of
from vsvfi.synthetic.texture import Array

type Maker = Callable[[str, np.random.Generator, int], CutClip]
"""(kind, random numbers, seed of the grain) -> a clip."""


def _cut(
    make: Callable[[np.random.Generator, list[Shot]], Shot],
    count: int = 3,
    shortest: int = 6,
    grain: float = 0.004,
    change: Callable[[Array], Array] | None = None,
) -> Maker:
    """A kind of shots joined by hard cuts; `change` is applied to every frame."""

    def maker(kind: str, rng: np.random.Generator, seed: int) -> CutClip:
        starts = places(rng, count, shortest)
        shots: list[Shot] = []
        for _ in range(count + 1):
            shots.append(make(rng, shots))
        images = joined(shots, starts)
        changed: Frames = (lambda index: change(images(index))) if change else images
        return CutClip(f"{kind}-{seed}", kind, LENGTH, frozenset(starts), changed, grain, seed)

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
    # Exactly the same histogram
    shot.canvas = order[rank * len(order) // len(rank)].T.reshape(shot.canvas.shape).copy()
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


def _cut_black(kind: str, rng: np.random.Generator, seed: int) -> CutClip:
    starts = places(rng, 2, 8)
    shot, other = shot_of(rng), shot_of(rng)
    black = np.full((3, HEIGHT, WIDTH), 0.01, np.float32)

    def image(index: int) -> Array:
        return shot.image(index) if index < starts[0] else black if index < starts[1] else other.image(index)

    return CutClip(f"{kind}-{seed}", kind, LENGTH, frozenset(starts), image, 0.002, seed)


def _cut_flash(kind: str, rng: np.random.Generator, seed: int) -> CutClip:
    """A new scene that begins with a camera flash; the flash belongs to it."""
    starts = places(rng, 2, 8)
    images = joined([shot_of(rng) for _ in range(3)], starts)
    frames = int(rng.integers(1, 3))

    def image(index: int) -> Array:
        since = min((index - place for place in starts if index >= place), default=LENGTH)
        light = 0.6 * 0.6**since if since < frames else 0.0
        return images(index) * (1 - light) + light

    return CutClip(f"{kind}-{seed}", kind, LENGTH, frozenset(starts), image, 0.004, seed)


def _letterbox(image: Array) -> Array:
    image = image.copy()
    image[:, :18] = image[:, -18:] = 0.0
    return image


CUTS: dict[str, Maker] = {
    "cut": _cut(lambda rng, _: shot_of(rng)),
    "cut, still images": _cut(
        lambda rng, _: shot_of(rng, velocity=(0.0, 0.0), shake=0.0, zoom=0.0, sprite=0.0), grain=0.0
    ),
    "cut, same colours": _cut(_similar),
    "cut, same place": _cut(_reframed),
    "cut, same style": _cut(_same_style),
    "cut, action": _cut(_action),
    "cut, short scenes": _cut(lambda rng, _: shot_of(rng), count=5, shortest=4),
    "cut, dark with grain": _cut(lambda rng, _: shot_of(rng), grain=0.012, change=dim),
    "cut, pale animation": _cut(_flat, grain=0.0),
    "cut, animation on twos": _cut(lambda rng, _: on_twos(rng), grain=0.002),
    "cut, letterbox": _cut(lambda rng, _: shot_of(rng), change=_letterbox),
    "cut, heavy grain": _cut(lambda rng, _: shot_of(rng), grain=0.05),
    "cut, to and from black": _cut_black,
    "cut, with a flash": _cut_flash,
}
