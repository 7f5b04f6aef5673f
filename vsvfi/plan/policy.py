"""Decide whether an output frame is interpolated or copied, and re-time held drawings.

Frames are copied at scene changes, between duplicate frames, and at timesteps close to a source frame. A decision
depends on the output index and on facts about the source frames around it, never on earlier requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from vsvfi.options import DuplicateMode
from vsvfi.plan.bisection import nearest
from vsvfi.plan.timeline import Copy, Decision, Interpolate, Timeline

LONGEST_HOLD = 4
"""Maximum frames of a held drawing that is re-timed ("on fours"); longer holds stay static."""

SNAP = Fraction(1, 100)
"""Distance in source frames up to which the source frame is copied: it is sharper, and the offset is invisible."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the step from one source frame to the next."""

    cut: bool = False
    duplicate: bool = False


type FactsAt = Callable[[int], Facts]
"""Facts about the step from source frame k to k + 1; only called within the window of the policy."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one clip.

    Attributes:
        hold_cuts: at a cut, repeat the frame before it.
        duplicates: "off", "skip" or "retime".
        bisects: timesteps are reached by bisection, and so rounded to its grid.
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
        """Decide what output frame n shows."""
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
        """Re-time a held drawing: interpolate evenly from its first frame to the first frame of the next drawing."""
        position = timeline.position(n)
        last = timeline.source_length - 1
        index = min(timeline.source_index(n), last)
        start = index
        while start > 0 and index - start < LONGEST_HOLD and self._held(facts(start - 1)):
            start -= 1
        end = index + 1
        while end <= last and end - start <= LONGEST_HOLD and self._held(facts(end - 1)):
            end += 1
        # A still image, or a run of unknown length: only its last step moves, if that is this one
        if end - start > LONGEST_HOLD:
            if index < last and self._held(facts(index)):
                return Copy(index)
            start, end = index, index + 1
        if position == start or end > last or (self.hold_cuts and facts(end - 1).cut):
            return Copy(index)
        return Interpolate(start, end, timeline.between(n, start, end))

    def _held(self, fact: Facts) -> bool:
        return fact.duplicate and not (self.hold_cuts and fact.cut)


def scene_marks(timeline: Timeline, n: int, facts: FactsAt) -> tuple[bool, bool]:
    """Whether output frame n is the (first, last) frame of a scene; the clip's own ends count as neither."""
    index = timeline.source_index(n)
    before = timeline.source_index(n - 1) if n > 0 else index
    after = timeline.source_index(n + 1) if n + 1 < timeline.length else index
    return any(facts(k).cut for k in range(before, index)), any(facts(k).cut for k in range(index, after))


def reach(timeline: Timeline, policy: Policy) -> tuple[int, int]:
    """How many source frames (before, after) the current one `decide`, `scene_marks` and durations look at."""
    return max(policy.behind, timeline.stride), max(policy.ahead, timeline.stride)
