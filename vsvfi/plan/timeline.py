"""Output times as exact rationals: which source frames lie around output frame n, and how long it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

LARGEST_LENGTH = 2**31 - 1
"""The longest clip VapourSynth can hold, in frames."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Source frame `frame` as it is."""

    frame: int

    @property
    def position(self) -> Fraction:
        """Where it is on the source axis, in source frames."""
        return Fraction(self.frame)


@dataclass(frozen=True, slots=True)
class Interpolate:
    """The frame at `t` (0 < t < 1) between source frames `first` and `second`."""

    first: int
    second: int
    t: Fraction

    @property
    def position(self) -> Fraction:
        """Where it is on the source axis, in source frames."""
        return self.first + (self.second - self.first) * self.t


type Decision = Copy | Interpolate
"""What an output frame shows. It is encoded to frame properties and decoded once (`clip.decisions`), requested of a
session, and the key under which caches remember a frame.
"""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The clock of an interpolated clip. Positions count source frames: source frame k is shown from k to k + 1.

    Attributes:
        factor: output frames per source frame, above 0.
        source_length: source frames, at least 1.
        source_rate: source frames per second, or None where it varies.
    """

    factor: Fraction
    source_length: int
    source_rate: Fraction | None

    @property
    def length(self) -> int:
        """Output frames: ceil(source_length * factor), or the longest possible clip where that is more."""
        return min(ceil(self.source_length * self.factor), LARGEST_LENGTH)

    @property
    def truncated(self) -> bool:
        """Whether the output would be longer than a clip can be (players hand over clips of 2^31-1 frames)."""
        return ceil(self.source_length * self.factor) > LARGEST_LENGTH

    @property
    def rate(self) -> Fraction | None:
        """Output frames per second, or None where it varies."""
        return None if self.source_rate is None else self.source_rate * self.factor

    def position(self, n: int) -> Fraction:
        """Where output frame n begins, in source frames."""
        return n / self.factor

    @property
    def regular(self) -> bool:
        """Whether source frames follow the output's in the ratio of `factor`."""
        return True

    @property
    def stride(self) -> int:
        """Source frames that pass in one output frame at most."""
        return -(-self.factor.denominator // self.factor.numerator)

    def on_source(self, n: int) -> bool:
        """Whether output frame n begins exactly where a source frame begins."""
        return self.position(n).denominator == 1

    def between(self, n: int, start: int, end: int) -> Fraction:
        """How far output frame n is on the way from one source frame to another."""
        return (self.position(n) - start) / (end - start)

    def source_index(self, n: int) -> int:
        """The source frame that is shown when output frame n begins."""
        return n * self.factor.denominator // self.factor.numerator

    def step(self, n: int) -> Decision:
        """What output frame n shows if nothing stands against it; the last source frame is held to the end."""
        position = self.position(n)
        index = floor(position)
        if position == index or index + 1 >= self.source_length:
            return Copy(min(index, self.source_length - 1))
        return Interpolate(index, index + 1, position - index)

    def duration(self, n: int) -> Fraction | None:
        """Seconds for which output frame n is shown at a constant rate; the last one ends where the source ends.

        None where the rate varies.
        """
        if self.source_rate is None:
            return None
        return self._extent(n) / self.source_rate

    def shares(self, n: int) -> tuple[tuple[int, Fraction], ...]:
        """Which parts of which source frames output frame n covers: (source index, share of its duration); for variable
        rates.
        """
        start = self.position(n)
        end = start + self._extent(n)
        return tuple(
            (index, min(end, Fraction(index + 1)) - max(start, Fraction(index)))
            for index in range(floor(start), ceil(end))
        )

    def _extent(self, n: int) -> Fraction:
        """Length of output frame n in source frames: 1 / factor, the last one cut off at the end of the source."""
        return min(1 / self.factor, self.source_length - self.position(n))
