"""Clips of layered scenes with known cuts, and with effects mistaken for cuts: flashes, fades, whip pans.

Frames are small, fast to render, and determined by the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from vsvfi.synthetic.cuts.clip import CutClip, Frames
from vsvfi.synthetic.layer import Layer, Motion
from vsvfi.synthetic.scene import Scene, scene
from vsvfi.synthetic.texture import Array


def _joined(name: str, shots: Sequence[tuple[Frames, int]]) -> CutClip:
    """Concatenate shots (frames, length) with cuts between them."""
    starts = np.cumsum([0, *(length for _, length in shots)])

    def image(i: int) -> Array:
        shot = int(np.searchsorted(starts, i, side="right")) - 1
        return shots[shot][0](i - int(starts[shot]))

    return CutClip(name, name, int(starts[-1]), frozenset(int(start) for start in starts[1:-1]), image)


def _single(name: str, length: int, image: Frames) -> CutClip:
    return CutClip(name, name, length, frozenset(), image)


def _held(image: Frames, count: int, offset: int = 0) -> Frames:
    """Every drawing shown `count` times."""
    return lambda i: image((i + offset) // count * count)


def _tinted(image: Frames, colour: Array, amount: float) -> Frames:
    """Tint towards one colour, so that two scenes look alike."""
    return lambda i: image(i) * np.float32(1 - amount) + np.float32(amount) * colour[:, None, None]


def _lit(image: Frames, gain: Callable[[int], float]) -> Frames:
    """Brightness of frame i multiplied by gain(i)."""
    return lambda i: np.clip(image(i) * np.float32(gain(i)), 0, 1)


def _flashed(image: Frames, flashes: dict[int, float], colour: Array) -> Frames:
    """Frame i mixed with a colour by flashes[i]."""

    def flashed(i: int) -> Array:
        amount = np.float32(flashes.get(i, 0.0))
        return image(i) * (1 - amount) + amount * colour[:, None, None]

    return flashed


def _dissolved(first: Frames, second: Frames, start: int, length: int) -> Frames:
    """From one to the other during `length` frames from `start`."""

    def dissolved(i: int) -> Array:
        amount = np.float32(np.clip((i - start + 1) / (length + 1), 0, 1))
        if amount == 0:
            return first(i)
        return second(i) if amount == 1 else first(i) * (1 - amount) + second(i) * amount

    return dissolved


def _rushed(base: Scene, seed: int, passes: Sequence[int]) -> Scene:
    """Add a large object of another scene that quickly crosses the frame.

    It does so once for each entry of `passes`, the frame in which it is in the middle.
    """
    thing = next(
        layer
        for layer in reversed(scene(seed, base.width, base.height, kind="textured").layers)
        if layer.extent is not None
    )
    layers = list(base.layers)
    for count, middle in enumerate(passes):
        speed = (0.22 + 0.06 * count) * base.width * (-1) ** count
        motion = Motion(
            place=(base.width / 2 - speed * middle, base.height * 0.55), velocity=(speed, 0.0), angle=thing.motion.angle
        )
        extent = thing.extent or 1.0
        layers.append(replace(thing, motion=replace(motion, size=0.55 * base.height / extent), softness=3.0))
    return replace(base, layers=layers)


def _still(base: Scene, speed: float) -> Scene:
    """The same layers, moving at `speed` of their pace."""

    def slow(layer: Layer) -> Layer:
        motion = layer.motion
        velocity = (motion.velocity[0] * speed, motion.velocity[1] * speed)
        return replace(
            layer, motion=replace(motion, velocity=velocity, spin=motion.spin * speed, growth=motion.growth * speed)
        )

    return replace(base, layers=[slow(layer) for layer in base.layers])


def evaluation_clips(seed: int = 0) -> Iterator[CutClip]:
    """Yield named clips with known cuts; frames are rendered on demand.

    Args:
        seed: of every scene; two seeds share no scene.
    """
    random = np.random.default_rng((0xC175, seed))
    counter = iter(range(seed * 1000, seed * 1000 + 1000))
    white, black = np.ones(3, np.float32), np.zeros(3, np.float32)

    def shot(kind: str = "mixed", width: int = 192, height: int = 108, speed: float = 1.0) -> Frames:
        made = scene(next(counter), width, height, kind=kind)
        return (made if speed == 1 else _still(made, speed)).frame

    def lengths(count: int) -> list[int]:
        return [int(value) for value in random.integers(6, 13, count)]

    for kind in ("mixed", "textured", "flat"):
        yield _joined(f"hard-cuts-{kind}", [(shot(kind), length) for length in lengths(4)])
    yield _joined("short-shots", [(shot(), length) for length in (8, 1, 2, 3, 1, 8)])
    yield _joined("cuts-static", [(shot(speed=0.0), length) for length in lengths(3)])
    yield _joined("cuts-dark", [(shot("dark"), length) for length in lengths(4)])
    yield _joined("cuts-dark-bright", [(shot("dark"), 8), (shot("textured"), 8), (shot("dark"), 8)])
    mean = random.uniform(0.3, 0.7, 3).astype(np.float32)
    yield _joined("cuts-similar-colours", [(_tinted(shot(), mean, 0.6), length) for length in lengths(4)])
    yield _joined("cuts-very-similar-colours", [(_tinted(shot(), mean, 0.8), length) for length in lengths(3)])
    yield _joined("cuts-during-pan", [(shot("pan"), length) for length in lengths(3)])
    yield _joined(
        "cuts-held-on-twos", [(_held(shot("flat"), 2), 8), (_held(shot("flat"), 2), 10), (_held(shot("flat"), 2, 1), 8)]
    )
    yield _joined(
        "cuts-held-on-threes", [(_held(shot("flat"), 3), 9), (_held(shot("flat"), 3), 9), (_held(shot("flat"), 3), 9)]
    )
    yield _joined(
        "cut-to-black-and-back", [(shot(), 8), (lambda i: np.zeros((3, 108, 192), np.float32), 4), (shot(), 8)]
    )
    base = shot("textured")
    cropped = scene(seed * 1000 + 999, 384, 216, kind="textured")
    yield _joined(
        "cut-to-closer-view",
        [
            (lambda i: _halved(cropped.frame(i)), 9),
            (lambda i: np.ascontiguousarray(cropped.frame(i + 9)[:, 54:162, 96:288]), 9),
        ],
    )

    yield _single("flash-one-frame", 20, _flashed(shot(), {8: 0.9}, white))
    yield _single("flash-two-frames", 20, _flashed(base, {6: 0.95, 7: 0.6}, white))
    yield _single(
        "flash-many-frames",
        24,
        _flashed(shot(), {6: 0.8, 7: 0.95, 8: 0.9, 9: 0.7, 10: 0.5, 11: 0.3, 12: 0.15, 13: 0.05}, white),
    )
    yield _single(
        "flash-coloured", 20, _flashed(shot("flat"), {5: 0.7, 12: 0.7}, np.array([1.0, 0.2, 0.1], np.float32))
    )
    yield _single("flash-black-frame", 20, _flashed(shot(), {9: 1.0}, black))
    yield _single("strobe", 24, _flashed(shot("dark"), {4: 0.7, 8: 0.7, 12: 0.7, 16: 0.7}, white))
    flash_and_cut = _joined(
        "flash-and-cut", [(_flashed(shot(), {4: 0.9}, white), 12), (_flashed(shot(), {6: 0.9}, white), 12)]
    )
    yield flash_and_cut
    yield _single("fade-from-black", 24, _lit(shot(), lambda i: min(1.0, i / 14)))
    yield _single("fade-to-black", 24, _lit(shot("textured"), lambda i: max(0.0, 1 - max(0, i - 6) / 12)))
    yield _single("fade-to-white", 24, _flashed(shot(), {i: min(1.0, (i - 6) / 12) for i in range(6, 24)}, white))
    yield _single(
        "fade-through-black",
        30,
        _dissolved(
            _lit(shot(), lambda i: max(0.0, 1 - i / 12)), _lit(shot(), lambda i: max(0.0, (i - 16) / 12)), 13, 3
        ),
    )
    yield _single("dissolve-short", 24, _dissolved(shot(), shot(), 9, 6))
    yield _single("dissolve-long", 30, _dissolved(shot("textured"), shot("flat"), 6, 18))
    for index in range(3):
        yield _single(f"whip-pan-{index}", 16, shot("pan"))
    whip = scene(next(counter), 192, 108, kind="pan")
    yield _single("whip-pan-start-and-stop", 24, lambda i: whip.frame(float(6 * np.tanh((i - 12) / 4))))
    calm = _still(scene(next(counter), 192, 108, kind="textured"), 0.2)
    yield _single("object-rushes-past", 24, _rushed(calm, next(counter), (6, 17)).frame)
    flat_calm = _still(scene(next(counter), 192, 108, kind="flat"), 0.2)
    yield _single("object-rushes-past-flat", 24, _rushed(flat_calm, next(counter), (8, 16)).frame)
    yield _single("dark-with-grain", 20, shot("dark"))
    yield _single("dark-with-grain-static", 20, shot("dark", speed=0.0))
    yield _single("bright-with-grain", 20, replace(scene(next(counter), 192, 108, kind="textured"), grain=0.05).frame)
    yield _single("exposure-change", 24, _lit(shot(), lambda i: 0.6 if i < 10 else min(1.1, 0.6 + 0.12 * (i - 9))))
    yield _single("exposure-step", 20, _lit(shot(), lambda i: 0.75 if i < 10 else 1.05))
    yield _single("flicker", 20, _lit(shot(), lambda i: 1.0 if i % 2 else 0.88))
    yield _single("held-on-twos", 24, _held(shot("flat"), 2))
    yield _single("held-on-threes-fast", 24, _held(shot("flat", speed=2.5), 3))
    yield _single("static", 12, shot("textured", speed=0.0))
    yield _single("black", 8, lambda i: np.zeros((3, 108, 192), np.float32))


def _halved(image: Array) -> Array:
    """Half the size, by means of 2x2 pixels."""
    channels, height, width = image.shape
    return image.reshape(channels, height // 2, 2, width // 2, 2).mean((2, 4), dtype=np.float32)
