"""Divide a render into chunks of bounded length that begin at scene changes where possible.

An output frame depends on its number alone, so chunks may begin anywhere. At a scene change, no pair of source frames
is interpolated in two chunks, and the encoder would begin a group of pictures there anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

SHORTEST, LONGEST = Fraction(4), Fraction(120)
"""Limits of a chunk's duration in seconds of the output, where it follows from the speed."""

_WORK = 300
"""Seconds of work per chunk: much longer than starting the programs, and acceptable to lose."""

_FEWEST = 16
"""Minimum frames of a chunk."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Output frames `first` to `last`, both included; `number` counts from 1."""

    number: int
    first: int
    last: int

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.last - self.first + 1

    @property
    def name(self) -> str:
        """Name of its files, in the order of the chunks."""
        return f"{self.number:05d}"

    def __str__(self) -> str:
        return f"chunk {self.number} (frames {self.first} to {self.last})"


def chunk_length(rate: Fraction, speed: float) -> int:
    """Return how many frames a chunk should have.

    Args:
        rate: output frames per second.
        speed: frames rendered per second.
    """
    wanted = max(SHORTEST * rate, min(Fraction(speed * _WORK), LONGEST * rate))
    return max(round(wanted), _FEWEST)


def search_windows(first: int, last: int, length: int) -> tuple[range, ...]:
    """Return where to look for the beginning of each chunk but the first: a quarter of a chunk from the nominal place.

    Chunks have 3/4 to 5/4 of the length, the last one up to 7/4 of it.
    """
    ends = range(first + length, last + 2 - length // 2, length)
    return tuple(range(start, min(start + length // 4, last) + 1) for start in ends)


def divide(first: int, last: int, length: int, begins_scene: Callable[[int], bool]) -> tuple[Chunk, ...]:
    """Divide frames into chunks.

    Args:
        first, last: of the render, both included.
        length: nominal frames per chunk.
        begins_scene: whether an output frame is the first of a scene; called in order within the windows, no more
            often than needed.
    """
    if length < 1 or last < first:
        raise ValueError(f"divide: frames {first} to {last} in chunks of {length}")
    starts = [first]
    for window in search_windows(first, last, length):
        starts.append(next((n for n in window if begins_scene(n)), window.start))
    return from_starts(starts, last)


def from_starts(starts: Sequence[int], last: int) -> tuple[Chunk, ...]:
    """Return the chunks that begin at `starts`; the last one ends with frame `last`."""
    ends = pairwise([*starts, last + 1])
    return tuple(Chunk(number, begin, end - 1) for number, (begin, end) in enumerate(ends, start=1))


def leading(chunks: Sequence[Chunk], is_done: Callable[[Chunk], bool]) -> tuple[Chunk, ...]:
    """Return the finished chunks before the first unfinished one: what can be played without a gap."""
    count = next((index for index, chunk in enumerate(chunks) if not is_done(chunk)), len(chunks))
    return tuple(chunks[:count])
