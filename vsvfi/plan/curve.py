"""Timeline for speed ramps, reversed playback and any other remapping: each output frame has a position of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import floor

from vsvfi.errors import ArgumentError, VsvfiError, type_name
from vsvfi.options.arguments import parse_position
from vsvfi.plan.timeline import Copy, Decision, Interpolate, Timeline

type Curve = Sequence[int | float | str | Fraction] | Callable[[int], int | float | Fraction]

LONGEST_STRIDE = 8
"""Source frames between neighbouring output frames up to which cuts are looked for; further apart is a jump."""

_MOST_FRAMES = 10_000_000


@dataclass(frozen=True, slots=True)
class CurveTimeline(Timeline):
    """A timeline whose output frames show given positions of the source.

    Attributes:
        positions: of each output frame, in source frames, 0 to source_length - 1.
        output_rate: output frames per second, or None where the source has no rate.
        stride: source frames between neighbouring output frames at most, but not above LONGEST_STRIDE.
    """

    positions: tuple[Fraction, ...]
    output_rate: Fraction | None
    stride: int

    @property
    def length(self) -> int:
        """Output frames: as many as there are positions."""
        return len(self.positions)

    @property
    def truncated(self) -> bool:
        """False: the positions are counted beforehand."""
        return False

    @property
    def rate(self) -> Fraction | None:
        """Output frames per second."""
        return self.output_rate

    @property
    def regular(self) -> bool:
        """False: there is no fixed ratio of source to output frames."""
        return False

    def position(self, n: int) -> Fraction:
        """Where output frame n is, in source frames."""
        return self.positions[n]

    def source_index(self, n: int) -> int:
        """The source frame at or before the position."""
        return floor(self.positions[n])

    def step(self, n: int) -> Decision:
        """What output frame n shows by its position alone."""
        position = self.positions[n]
        index = floor(position)
        return Copy(index) if position == index else Interpolate(index, index + 1, position - index)

    def duration(self, n: int) -> Fraction | None:
        """Duration of output frame n in seconds: all are equal."""
        return None if self.output_rate is None else 1 / self.output_rate


def curved(curve: object, source_length: int, multi: Fraction, rate: Fraction | None) -> CurveTimeline:
    """Return the timeline of a clip that is played along a curve.

    Args:
        curve: the positions, or a function that returns the position of output frame n.
        source_length: frames of the source.
        multi: output frames per source frame, which sets how often a function is called:
            ceil(source_length * multi) frames.
        rate: output frames per second, or None.

    Raises:
        ArgumentError: the curve fails, leaves the clip, or has no or too many frames.
    """
    if callable(curve):
        count = -(-source_length * multi.numerator // multi.denominator)
        _check_count(count, curve)
        given: Sequence[object] = [_called(curve, n) for n in range(count)]
    else:
        given = list(curve)  # type: ignore[call-overload]
        _check_count(len(given), len(given))
    positions = tuple(_position(value, n, source_length) for n, value in enumerate(given))
    steps = (abs(floor(later) - floor(earlier)) for earlier, later in pairwise(positions))
    stride = max(1, min(max(steps, default=1), LONGEST_STRIDE))
    factor = Fraction(len(positions), source_length)
    return CurveTimeline(factor, source_length, None, positions=positions, output_rate=rate, stride=stride)


def _check_count(count: int, curve: object) -> None:
    if not 0 < count <= _MOST_FRAMES:
        raise ArgumentError(
            "curve", curve, f"must have 1 to {_MOST_FRAMES} output frames, not {count}", "trim the clip first"
        )


def _called(curve: Callable[[int], object], n: int) -> object:
    try:
        return curve(n)
    except VsvfiError:
        raise
    except Exception as error:
        raise ArgumentError(
            "curve", curve, f"raised {type_name(error)} for output frame {n}", "return a position in source frames"
        ) from None


def _position(value: object, n: int, source_length: int) -> Fraction:
    position, last = parse_position(value), source_length - 1
    if position > last:
        raise ArgumentError(
            "curve",
            value,
            f"lies beyond {last}, the last frame of the clip (output frame {n})",
            f"give source frames, for example min(n / 2, {last})",
        )
    return position
