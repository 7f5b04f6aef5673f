"""Timeline for variable-rate clips: output frames at a constant rate, placed by the source's timestamps."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil

from vsvfi.errors import ArgumentError
from vsvfi.plan.timeline import LARGEST_LENGTH, Timeline

LONGEST_STEP = 4
"""In usual frame durations: a longer frame is static, with motion only in its last usual duration."""

_MOST_SKIPPED = 64
"""Maximum number of source frames within one output frame."""


@dataclass(frozen=True, slots=True)
class TimedTimeline(Timeline):
    """A timeline whose source frames have individual timestamps.

    Attributes:
        fps: output frames per second.
        times: start of each source frame in seconds, the first at 0; and the end of the last.
        usual: the median of the source frames' durations.
        stride: maximum number of source frames within one output frame.
    """

    fps: Fraction
    times: tuple[Fraction, ...]
    usual: Fraction
    stride: int

    @property
    def length(self) -> int:
        """Output frames until the source ends."""
        return min(ceil(self.times[-1] * self.fps), LARGEST_LENGTH)

    @property
    def truncated(self) -> bool:
        """Whether the output would be longer than a clip can be."""
        return ceil(self.times[-1] * self.fps) > LARGEST_LENGTH

    @property
    def rate(self) -> Fraction | None:
        """Output frames per second."""
        return self.fps

    @property
    def regular(self) -> bool:
        """False: there is no fixed ratio of source to output frames."""
        return False

    def source_index(self, n: int) -> int:
        """The source frame that is shown when output frame n begins."""
        return max(0, min(bisect_right(self.times, n / self.fps), self.source_length) - 1)

    def position(self, n: int) -> Fraction:
        """Where output frame n begins, in source frames: halfway in time between two is halfway in position."""
        index, now = self.source_index(n), n / self.fps
        begin, end = self.times[index], self.times[index + 1]
        if end - begin > LONGEST_STEP * self.usual:
            begin = end - self.usual
        return index + max(Fraction(0), min((now - begin) / (end - begin), Fraction(1)))

    def on_source(self, n: int) -> bool:
        """Whether output frame n begins exactly where a source frame begins."""
        return self.times[self.source_index(n)] == n / self.fps

    def between(self, n: int, start: int, end: int) -> Fraction:
        """Timestep of output frame n between two source frames."""
        return (n / self.fps - self.times[start]) / (self.times[end] - self.times[start])

    def duration(self, n: int) -> Fraction | None:
        """Duration of output frame n in seconds; the last one ends where the source ends."""
        return min(1 / self.fps, self.times[-1] - n / self.fps)


def timed(times: Sequence[Fraction], source_length: int, fps: Fraction) -> TimedTimeline:
    """Return the timeline of a clip with these timestamps.

    Args:
        times: start of each frame in seconds, in order, and the end of the last.
        source_length: the clip's length.
        fps: output frames per second.

    Raises:
        ArgumentError: the times do not match the frames, decrease, or do not suit the rate.
    """
    if len(times) != source_length + 1 or any(later < earlier for earlier, later in pairwise(times)):
        raise ArgumentError(
            "times",
            f"{len(times)} values",
            f"must be those of {source_length} frames in order, and the end of the last",
            "read them from the clip's source file",
        )
    shifted = tuple(time - times[0] for time in times)
    durations = sorted(later - earlier for earlier, later in pairwise(shifted) if later > earlier)
    span = shifted[-1]
    factor = span * fps / source_length
    ends = enumerate(shifted[1:], start=1)  # within frame index - 1, an output frame may begin just before its end
    stride = max((bisect_left(shifted, end + 1 / fps) - index for index, end in ends), default=1)
    if not durations or not Fraction(1, 8) <= factor <= 1000 or stride > _MOST_SKIPPED:
        raise ArgumentError(
            "fps",
            str(fps),
            "does not match the timestamps of the clip's frames",
            "choose a rate nearer to the file's own",
        )
    return TimedTimeline(
        factor, source_length, None, fps=fps, times=shifted, usual=durations[len(durations) // 2], stride=stride
    )
