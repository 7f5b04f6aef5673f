"""Decide whether an output frame is interpolated or copied (scene changes, duplicate frames, timesteps close to a
source frame), and re-time held drawings.

A decision depends on the output index and on facts about the source frames around it, never on what was asked before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from vsvfi.options import DuplicateMode
from vsvfi.plan.bisection import nearest
from vsvfi.plan.timeline import Copy, Decision, Interpolate, Timeline

LONGEST_HOLD = 4
"""Frames a drawing may be held to be re-timed ("on fours"); a longer hold is a still picture and stays one."""

SNAP = Fraction(1, 100)
"""A time this near to a source frame, in source frames, shows that frame: sharper, free, and off by less than anyone
sees.
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the step from one source frame to the next."""

    cut: bool = False
    duplicate: bool = False


type FactsAt = Callable[[int], Facts]
"""Facts about the step from source frame k to k + 1; asked only within the window of the policy."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one clip.

    Attributes:
        hold_cuts: at a cut the frame before it is held.
        duplicates: "off", "skip" or "retime".
        bisects: other timesteps than 1/2 are reached by bisection, so that they lie on the grid of `bisection`.
    """

    hold_cuts: bool = True
    duplicates: DuplicateMode = "skip"
    bisects: bool = False

    @property
    def behind(self) -> int:
        """How many source frames before the current one a decision may look at."""
        return LONGEST_HOLD if self.duplicates == "retime" else 1

    @property
    def ahead(self) -> int:
        """How many source frames after the current one a decision may look at."""
        return LONGEST_HOLD if self.duplicates == "retime" else 1

    def decide(self, timeline: Timeline, n: int, facts: FactsAt) -> Decision:
        """What output frame n shows."""
        step = self._retimed(timeline, n, facts) if self.duplicates == "retime" else timeline.step(n)
        if isinstance(step, Copy):
            return step
        if self.duplicates != "retime":
            fact = facts(step.first)
            if (self.hold_cuts and fact.cut) or (self.duplicates == "skip" and fact.duplicate):
                return Copy(step.first)
        t = nearest(step.t) if self.bisects else step.t
        if t * (step.second - step.first) <= SNAP:
            return Copy(step.first)
        if (1 - t) * (step.second - step.first) <= SNAP:
            return Copy(step.second)
        return Interpolate(step.first, step.second, t)

    def _retimed(self, timeline: Timeline, n: int, facts: FactsAt) -> Decision:
        """Motion spread evenly over the whole run of a held drawing: from its first frame to the first frame of the
        next drawing.
        """
        position = timeline.position(n)
        last = timeline.source_length - 1
        index = min(timeline.source_index(n), last)
        start = index
        while start > 0 and index - start < LONGEST_HOLD and self._held(facts(start - 1)):
            start -= 1
        end = index + 1
        while end <= last and end - start <= LONGEST_HOLD and self._held(facts(end - 1)):
            end += 1
        if (
            end - start > LONGEST_HOLD
        ):  # a still picture, or a run of unknown length: only its last step moves, if that is this one
            if index < last and self._held(facts(index)):
                return Copy(index)
            start, end = index, index + 1
        if position == start or end > last or (self.hold_cuts and facts(end - 1).cut):
            return Copy(index)
        return Interpolate(start, end, timeline.between(n, start, end))

    def _held(self, fact: Facts) -> bool:
        return fact.duplicate and not (self.hold_cuts and fact.cut)


def scene_marks(timeline: Timeline, n: int, facts: FactsAt) -> tuple[bool, bool]:
    """Whether output frame n is the (first, last) frame of a scene; the very first and last frame of the clip count as
    neither.
    """
    index = timeline.source_index(n)
    before = timeline.source_index(n - 1) if n > 0 else index
    after = timeline.source_index(n + 1) if n + 1 < timeline.length else index
    return any(facts(k).cut for k in range(before, index)), any(facts(k).cut for k in range(index, after))


def reach(timeline: Timeline, policy: Policy) -> tuple[int, int]:
    """How many source frames (before, after) the current one `decide`, `scene_marks` and durations look at."""
    return max(policy.behind, timeline.stride), max(policy.ahead, timeline.stride)
