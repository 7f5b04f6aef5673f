"""Timeline of the samples of a shutter: several times within each output frame, from which motion blur is averaged."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from vsvfi.plan.timeline import LARGEST_LENGTH, Copy, Decision, Interpolate, Timeline


@dataclass(frozen=True, slots=True)
class ShutterTimeline(Timeline):
    """Output frame n of `base` is made of frames n * samples to (n + 1) * samples - 1.

    Attributes:
        base: the timeline of the output.
        samples: per output frame, evenly spread from its own time on.
        opening: how long the shutter is open, in output frames; 1/2 for 180 degrees.
    """

    base: Timeline
    samples: int
    opening: Fraction

    @property
    def length(self) -> int:
        """Samples of all output frames."""
        return min(self.base.length * self.samples, LARGEST_LENGTH)

    @property
    def rate(self) -> Fraction | None:
        """Samples per second, as if they were spread over the whole frame."""
        return None if self.base.rate is None else self.base.rate * self.samples

    @property
    def regular(self) -> bool:
        """False: samples are not spread evenly over the whole clip."""
        return False

    @property
    def stride(self) -> int:
        """Maximum number of source frames between two samples."""
        return self.base.stride + 1

    def position(self, n: int) -> Fraction:
        """Where sample n is, in source frames."""
        frame, sample = divmod(n, self.samples)
        begin, last = self.base.position(frame), Fraction(self.source_length - 1)
        if frame + 1 < self.base.length:
            step = self.base.position(frame + 1) - begin
        else:
            step = begin - self.base.position(frame - 1) if frame else Fraction(0)
        if abs(step) > self.base.stride:  # a jump has no motion
            step = Fraction(0)
        return max(Fraction(0), min(begin + step * self.opening * Fraction(sample, self.samples), last))

    def source_index(self, n: int) -> int:
        """The source frame at or before the sample."""
        return floor(self.position(n))

    def step(self, n: int) -> Decision:
        """What sample n shows by its position alone."""
        position = self.position(n)
        index = floor(position)
        return Copy(index) if position == index else Interpolate(index, index + 1, position - index)

    def duration(self, n: int) -> Fraction | None:
        """None: samples are not shown."""
        return None


def shuttered(base: Timeline, degrees: Fraction, samples: int) -> ShutterTimeline:
    """Return the samples of a shutter that is open for `degrees` of the 360 of an output frame."""
    return ShutterTimeline(
        base.factor * samples, base.source_length, None, base=base, samples=samples, opening=degrees / 360
    )
