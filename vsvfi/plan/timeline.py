"""Compute, as exact rationals, the source frames around each output frame and how long it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

LARGEST_LENGTH = 2**31 - 1
"""The longest clip VapourSynth can hold, in frames."""


@dataclass(frozen=True, slots=True)
class Copy:
    """An unmodified source frame."""

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


@dataclass(frozen=True, slots=True)
class CrossFade:
    """Source frames `first` and `second` mixed pixel by pixel, `t` parts of the second (0 < t < 1)."""

    first: int
    second: int
    t: Fraction

    @property
    def position(self) -> Fraction:
        """Where it is on the source axis, in source frames."""
        return self.first + (self.second - self.first) * self.t


type FrameKey = Copy | Interpolate
"""A source frame or an interpolated one: what a session computes and the key that its caches use."""

type Decision = FrameKey | CrossFade
"""What an output frame shows; stored in frame properties (`clip.decisions`)."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Timeline of an interpolated clip. Positions count source frames: source frame k is shown from k to k + 1.

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
        """Whether the output would exceed the longest possible clip (players pass clips of 2^31-1 frames)."""
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
        """Whether output and source frames have the fixed ratio `factor`."""
        return True

    @property
    def stride(self) -> int:
        """Maximum number of source frames within one output frame."""
        return -(-self.factor.denominator // self.factor.numerator)

    def on_source(self, n: int) -> bool:
        """Whether output frame n begins exactly where a source frame begins."""
        return self.position(n).denominator == 1

    def between(self, n: int, start: int, end: int) -> Fraction:
        """Timestep of output frame n between two source frames."""
        return (self.position(n) - start) / (end - start)

    def source_index(self, n: int) -> int:
        """The source frame that is shown when output frame n begins."""
        return n * self.factor.denominator // self.factor.numerator

    def step(self, n: int) -> Decision:
        """What output frame n shows by its position alone; the last source frame is repeated to the end."""
        position = self.position(n)
        index = floor(position)
        if position == index or index + 1 >= self.source_length:
            return Copy(min(index, self.source_length - 1))
        return Interpolate(index, index + 1, position - index)

    def duration(self, n: int) -> Fraction | None:
        """Duration of output frame n in seconds; the last one ends where the source ends.

        None if the rate varies.
        """
        if self.source_rate is None:
            return None
        return self._extent(n) / self.source_rate

    def shares(self, n: int) -> tuple[tuple[int, Fraction], ...]:
        """The source frames that output frame n covers, as (source index, share of that frame's duration)."""
        start = self.position(n)
        end = start + self._extent(n)
        return tuple(
            (index, min(end, Fraction(index + 1)) - max(start, Fraction(index)))
            for index in range(floor(start), ceil(end))
        )

    def _extent(self, n: int) -> Fraction:
        """Length of output frame n in source frames: 1 / factor, the last one cut off at the end of the source."""
        return min(1 / self.factor, self.source_length - self.position(n))
