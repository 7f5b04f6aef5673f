"""Choose the places of a video to compare models at: sharp, moving, varied, away from scene cuts.

A place is a run of frames at even distances. Every second one is removed and predicted from its neighbours, so a run
has an odd number of frames. Held drawings count once: a run of drawings held for two frames spans twice as many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median

from vsvfi.plan.policy import Facts

RUN = 5
"""Frames of a place: two of them are predicted."""

_LONGEST_HOLD = 4
_UNEVEN = Fraction(1, 1000) + Fraction(1, 1_000_000)
"""Seconds by which distances may differ where they are measured: times are rounded to milliseconds in many files."""
_STILL = 0.5 / 255
"""Mean difference of neighbouring frames below which nothing moves."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place where models can be compared.

    Attributes:
        frames: numbers of its frames; those at odd positions are predicted.
        sharpness: amount of fine detail in its middle frame.
        motion: mean difference of two of its frames, 0 to 1.
        look: a small descriptor of its middle frame, to distinguish scenes.
    """

    frames: tuple[int, ...]
    sharpness: float
    motion: float
    look: tuple[float, ...]


def positions(count: int) -> Iterator[int]:
    """Yield every number below `count`, far apart ones first, so that a search covers all evenly when it stops."""
    bits = max(count - 1, 0).bit_length()
    for index in range(1 << bits):
        position = int(f"{index:0{bits}b}"[::-1], 2) if bits else 0
        if position < count:
            yield position


def run_from(
    start: int, last: int, step: Callable[[int], Facts], times: Sequence[Fraction] = (), length: int = RUN
) -> tuple[int, ...] | None:
    """Find the run of different frames that begins at `start` or at the next drawing.

    Args:
        start: first frame number to consider.
        last: number of the last frame of the video.
        step: facts about the step from a frame to the next.
        times: when each frame begins, in seconds; empty at a constant rate.
        length: frames of the run.

    Returns:
        None if a scene or the video ends, or frames are at uneven distances, so that none is in the middle.
    """
    while 0 < start < last and step(start - 1).duplicate:
        start += 1
    numbers = [start]
    for n in range(start, min(start + _LONGEST_HOLD * length, last)):
        facts = step(n)
        if facts.cut:
            return None
        if not facts.duplicate:
            numbers.append(n + 1)
        if len(numbers) == length:
            begins = [times[number] if times else Fraction(number) for number in numbers]
            distances = [after - before for before, after in pairwise(begins)]
            return tuple(numbers) if max(distances) - min(distances) <= _UNEVEN else None
    return None


def choose(candidates: Sequence[Place], wanted: int) -> list[Place]:
    """Choose the best places, most informative first; no frame belongs to two of them.

    Each next place is sharp, moves, and is least similar to those chosen before.
    """
    moving = [place for place in candidates if place.motion > _STILL] or list(candidates)
    if not moving:
        return []
    sharp, motion = median(place.sharpness for place in moving), median(place.motion for place in moving)

    def weight(place: Place) -> float:
        """Weight up to 1, which saturates at twice the usual detail and motion."""
        detail = min(place.sharpness / (2 * sharp or 1.0), 1.0)
        return (0.1 + 0.9 * detail) * (0.1 + 0.9 * min(place.motion / (2 * motion or 1.0), 1.0))

    chosen = [max(moving, key=weight)]
    novelty = {place: float("inf") for place in moving}
    while len(chosen) < wanted:
        for place in moving:
            novelty[place] = min(novelty[place], _distance(place, chosen[-1]))
        free = [place for place in moving if not any(_overlap(place, other) for other in chosen)]
        if not free:
            break
        chosen.append(max(free, key=lambda place: weight(place) * novelty[place]))
    return chosen


def _overlap(one: Place, other: Place) -> bool:
    return one.frames[0] <= other.frames[-1] and other.frames[0] <= one.frames[-1]


def _distance(one: Place, other: Place) -> float:
    """Dissimilarity of two places: mean difference of their small images, above 0."""
    return 1e-3 + sum(abs(a - b) for a, b in zip(one.look, other.look, strict=True)) / max(len(one.look), 1)
