"""Animate a drawn character over a background on ones, twos, threes, mixed, or with faults; what repeats is known.

Numpy only. A clip states which moment each of its frames shows, for the character and for the background, so that
repeated frames, dropped frames and the picture that belongs in their place are known exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from vsvfi.synthetic.cuts.shots import noise, palette_of
from vsvfi.synthetic.texture import Array

WIDTH, HEIGHT, LENGTH = 384, 216, 36
_SIDE = 512
"""Side of the background, which wraps around its borders."""

_MOUTHS = (0.3, 1.0, 0.55, 0.1, 0.8)
"""How far the mouth is open from moment to moment."""


@dataclass(frozen=True, slots=True)
class Animation:
    """A clip of drawings.

    Attributes:
        kind: what it is, a key of KINDS or FAULTS.
        character, background: the moment that each frame shows, in frames; constant while it is held.
        fixes: moments that belong in place of the shown ones, by frame: those of frames that hide a dropped one.
        stage: draws a frame of a moment of the character and one of the background.
    """

    kind: str
    character: tuple[float, ...]
    background: tuple[float, ...]
    stage: Stage
    fixes: dict[int, float] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Frames."""
        return len(self.character)

    @property
    def repeats(self) -> frozenset[int]:
        """Every k whose frame k + 1 shows the same picture as frame k."""
        moments = list(zip(self.character, self.background, strict=True))
        return frozenset(k for k in range(len(moments) - 1) if moments[k] == moments[k + 1])

    def frame(self, n: int) -> Array:
        """Frame n: [3, HEIGHT, WIDTH] float32 RGB in [0, 1]."""
        return self.stage.draw(self.character[n], self.background[n])

    def truth(self, n: int) -> Array:
        """Frame n as it was before frames were dropped."""
        moment = self.fixes.get(n)
        return self.frame(n) if moment is None else self.stage.draw(moment, moment)


class Stage:
    """A background and a character, different for each seed.

    Attributes:
        pace: pixels per frame of the character; it walks to and fro.
        pan: pixels per frame of the background.
        path: distance travelled, in units of `pace`, by a moment; None is even.
        mouth_only: nothing but the mouth moves.
    """

    def __init__(
        self,
        seed: int,
        pace: float = 3.0,
        pan: float = 0.0,
        path: Callable[[float], float] | None = None,
        mouth_only: bool = False,
    ) -> None:
        rng = np.random.default_rng((0xD2A3, seed))
        self.pace, self.pan, self._path, self._mouth_only = pace, pan, path, mouth_only
        palette = palette_of(rng)
        levels = np.floor(noise(rng, 2.0, _SIDE) * 9).astype(int)
        canvas = palette[levels % len(palette)].transpose(2, 0, 1).copy()
        border = (levels != np.roll(levels, 1, 0)) | (levels != np.roll(levels, 1, 1))
        canvas[:, border] *= 0.4
        self._canvas = np.asarray(canvas * (0.85 + 0.3 * noise(rng, 1.6, _SIDE)), dtype=np.float32)
        self._colours = rng.uniform(0.15, 0.95, (4, 3)).astype(np.float32)
        self._place = float(rng.uniform(70, 110))
        self._start = float(rng.uniform(0, _SIDE))

    def draw(self, character: float, background: float) -> Array:
        """The picture of two moments: [3, HEIGHT, WIDTH] float32 RGB in [0, 1]."""
        image = self._ground(background)
        gone = self._path(character) if self._path else character
        walked = 0.0 if self._mouth_only else gone * self.pace
        x, y = self._place + walked, 70.0 - 3 * np.cos(walked / 9)
        skin, shirt, trousers, hair = self._colours
        swing = np.sin(walked / 11)
        for side in (-1, 1):
            _stroke(image, (x, y + 62), (x + side * 22 * swing, y + 118), 7, trousers)
            _stroke(image, (x, y + 24), (x - side * 26 * swing + side * 8, y + 58), 5, skin)
        _ellipse(image, (x, y + 42), (19, 27), shirt)
        _ellipse(image, (x, y - 4), (20, 20), hair)
        _ellipse(image, (x, y), (17, 18), skin)
        for side in (-1, 1):
            _ellipse(image, (x + 7 * side, y - 3), (2.6, 3.4), np.full(3, 0.05, np.float32))
        mouth = 1.2 + 3.2 * _MOUTHS[int(gone) % len(_MOUTHS)]
        _ellipse(image, (x, y + 9), (5.5, mouth), np.array([0.45, 0.05, 0.1], np.float32))
        return np.clip(image, 0, 1)

    def _ground(self, moment: float) -> Array:
        gone = self._path(moment) if self._path else moment
        start = self._start + self.pan * gone
        whole, part = int(np.floor(start)), np.float32(start - np.floor(start))
        columns = np.arange(whole, whole + WIDTH + 1) % _SIDE
        strip = self._canvas[:, :HEIGHT, :][:, :, columns]
        return np.asarray(strip[:, :, :-1] * (1 - part) + strip[:, :, 1:] * part)


def _paint(image: Array, distance: Array, colour: Array, corner: tuple[int, int]) -> None:
    """Fill where the signed distance is negative, with an outline of two pixels."""
    top, left = corner
    patch = image[:, top : top + distance.shape[0], left : left + distance.shape[1]]
    outer, inner = np.clip(1 - distance, 0, 1), np.clip(-1 - distance, 0, 1)
    patch[:] = patch * (1 - outer) + 0.08 * outer
    patch[:] = patch * (1 - inner) + colour[:, None, None] * inner


def _box(x: tuple[float, float], y: tuple[float, float]) -> tuple[Array, Array, tuple[int, int]]:
    """Pixel coordinates of a box inside the image, and its corner."""
    left, right = (int(np.clip(edge, 0, WIDTH)) for edge in (x[0] - 3, x[1] + 4))
    top, bottom = (int(np.clip(edge, 0, HEIGHT)) for edge in (y[0] - 3, y[1] + 4))
    rows, columns = np.mgrid[top : max(top, bottom), left : max(left, right)].astype(np.float32)
    return rows, columns, (top, left)


def _ellipse(image: Array, centre: tuple[float, float], radii: tuple[float, float], colour: Array) -> None:
    (x, y), (wide, high) = centre, radii
    rows, columns, corner = _box((x - wide, x + wide), (y - high, y + high))
    distance = (np.hypot((columns - x) / wide, (rows - y) / high) - 1) * min(wide, high)
    _paint(image, distance.astype(np.float32), colour, corner)


def _stroke(image: Array, begin: tuple[float, float], end: tuple[float, float], radius: float, colour: Array) -> None:
    (x, y), (ahead, down) = begin, (end[0] - begin[0], end[1] - begin[1])
    xs, ys = sorted((x, end[0])), sorted((y, end[1]))
    rows, columns, corner = _box((xs[0] - radius, xs[1] + radius), (ys[0] - radius, ys[1] + radius))
    along = np.clip(((columns - x) * ahead + (rows - y) * down) / (ahead**2 + down**2 + 1e-6), 0, 1)
    distance = np.hypot(columns - x - along * ahead, rows - y - along * down) - radius
    _paint(image, distance.astype(np.float32), colour, corner)


# --- animation on ones, twos, threes
# ----------------------------------------------------------------------------------------------------------------------


def _on(hold: int) -> list[float]:
    return [float(n // hold * hold) for n in range(LENGTH)]


def _mixed(seed: int) -> list[float]:
    """Drawings on ones, twos and threes, with motion that is even from drawing to drawing."""
    rng, shown = np.random.default_rng((3, seed)), list[float]()
    while len(shown) < LENGTH:
        shown += [1.7 * len(set(shown))] * int(rng.choice([1, 1, 2, 2, 3]))
    return shown[:LENGTH]


def _timed(seed: int) -> list[float]:
    """Mixed holds in real time: the longer a drawing is held, the further the next one is."""
    rng, shown = np.random.default_rng((4, seed)), list[float]()
    while len(shown) < LENGTH:
        shown += [float(len(shown))] * int(rng.choice([1, 2, 2, 3]))
    return shown[:LENGTH]


def _ease(moment: float) -> float:
    """Faster and faster, then slower and slower."""
    half = LENGTH / 2
    return half * 0.5 * (1 - np.cos(np.pi * moment / half)) if moment < half else half + 0.02 * (moment - half) ** 2


def _made(
    kind: str, seed: int, character: Sequence[float], stage: Stage, pans: Sequence[float] | None = None
) -> Animation:
    return Animation(kind, tuple(character), tuple(character if pans is None else pans), stage)


ONES = [float(n) for n in range(LENGTH)]

KINDS: dict[str, Callable[[str, int], Animation]] = {
    "on ones": lambda kind, seed: _made(kind, seed, ONES, Stage(seed, 2.0 + seed % 3)),
    "on ones, faster and slower": lambda kind, seed: _made(kind, seed, ONES, Stage(seed, 3.0, 1.0, _ease)),
    "on twos": lambda kind, seed: _made(kind, seed, _on(2), Stage(seed, 1.5 + seed % 3)),
    "on threes": lambda kind, seed: _made(kind, seed, _on(3), Stage(seed, 1.5 + seed % 2)),
    "mixed ones, twos, threes": lambda kind, seed: _made(kind, seed, _mixed(seed), Stage(seed, 3.0)),
    "mixed, in real time": lambda kind, seed: _made(kind, seed, _timed(seed), Stage(seed, 3.0)),
    "pan on ones, character on twos": lambda kind, seed: _made(kind, seed, _on(2), Stage(seed, 2.0, 2.0), ONES),
    "slow pan, character on threes": lambda kind, seed: _made(kind, seed, _on(3), Stage(seed, 2.0, 0.35), ONES),
    "pan and character on twos": lambda kind, seed: _made(kind, seed, _on(2), Stage(seed, 1.0, 3.0)),
    "talking on twos": lambda kind, seed: _made(kind, seed, _on(2), Stage(seed, mouth_only=True)),
}
"""Animation as it is meant to be: a name and a seed make a clip."""


# --- faults
# ----------------------------------------------------------------------------------------------------------------------


def _faulty(kind: str, stage: Stage, faults: dict[int, float]) -> Animation:
    """Motion on ones in which frame n shows the moment faults[n]."""
    shown = [faults.get(n, float(n)) for n in range(LENGTH)]
    return Animation(kind, tuple(shown), tuple(shown), stage, {n: float(n) for n in faults})


def _inserted(kind: str, seed: int, period: int) -> Animation:
    """A frame repeated in every `period`, with nothing dropped: nothing is to be repaired."""
    shown = tuple(float(n - n // period) for n in range(LENGTH))
    return Animation(kind, shown, shown, Stage(seed, 3.0, 1.5))


FAULTS: dict[str, Callable[[str, int], Animation]] = {
    "dropped, repeated before": lambda kind, seed: _faulty(
        kind, Stage(seed, 3.0, 1.0 + seed % 3), {7 + seed % 3: 6.0 + seed % 3, 17: 16.0, 28: 27.0}
    ),
    "dropped, repeated after": lambda kind, seed: _faulty(
        kind, Stage(seed, 3.0, 1.0 + seed % 3), {7 + seed % 3: 8.0 + seed % 3, 17: 18.0, 28: 29.0}
    ),
    "two dropped": lambda kind, seed: _faulty(
        kind,
        Stage(seed, 2.5, 1.0 + seed % 2),
        {9: 8.0, 10: 8.0, 22 + seed % 3: 21.0 + seed % 3, 23 + seed % 3: 21.0 + seed % 3},
    ),
    "dropped, faster and slower": lambda kind, seed: _faulty(
        kind, Stage(seed, 3.0, 1.0, _ease), {8 + seed % 3: 7.0 + seed % 3, 16: 15.0, 29: 28.0}
    ),
    "dropped, only the character moves": lambda kind, seed: _faulty(
        kind, Stage(seed, 3.0), {7 + seed % 3: 6.0 + seed % 3, 17: 16.0, 28: 27.0}
    ),
    "every fifth frame repeated": lambda kind, seed: _inserted(kind, seed, 5),
    "one frame in twelve repeated": lambda kind, seed: _inserted(kind, seed, 12),
}
"""Recordings in which frames were dropped, or frames inserted."""


def animations(seed: int, kinds: Sequence[str] | None = None) -> Iterator[Animation]:
    """Every kind of KINDS and FAULTS once (or those named), different for each seed."""
    for kind, make in {**KINDS, **FAULTS}.items():
        if kinds is None or kind in kinds:
            yield make(kind, seed)
