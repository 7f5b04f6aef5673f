"""Decide whether an output frame is interpolated or copied, re-time held drawings, and repair dropped frames.

Frames are copied at scene changes, between duplicate frames, in excluded ranges, and at timesteps close to a source
frame. A decision depends on the output index and on facts about the source frames around it, never on earlier requests.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from vsvfi.options import CutMode, DuplicateMode
from vsvfi.options.ranges import Ranges
from vsvfi.plan import repair
from vsvfi.plan.bisection import nearest
from vsvfi.plan.timed import TimedTimeline
from vsvfi.plan.timeline import Copy, CrossFade, Decision, Interpolate, Timeline

LONGEST_HOLD = 4
"""Maximum frames of a held drawing that is re-timed ("on fours") by default; longer holds stay static."""

SNAP = Fraction(1, 100)
"""Distance in source frames up to which the source frame is copied: it is sharper, and the offset is invisible."""

_UNEVEN = Fraction(1, 8)
"""The same where times are repaired: files round them, and recorders wait a little."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the step from one source frame to the next.

    Attributes:
        cut, duplicate: what the step is.
        blockiness: of the frame before the step, where it is measured (with "retime").
        apart: mean squared differences from that frame to the next ones, where they are measured (with "repair").
    """

    cut: bool = False
    duplicate: bool = False
    blockiness: float = 0.0
    apart: tuple[float, ...] = ()


type FactsAt = Callable[[int], Facts]
"""Facts about the step from source frame k to k + 1; only called within the window of the policy."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one clip.

    Attributes:
        at_cuts: what is shown between the frames on both sides of a cut: "hold" the first, "nearest", "blend" (a
            cross-fade); None interpolates over cuts.
        duplicates: "off", "skip", "retime" or "repair".
        longest_hold: maximum frames of a held drawing that is re-timed; longer holds stay static.
        excluded: source frames that are only repeated while they are shown.
        bisects: timesteps are reached by bisection, and so rounded to its grid.
    """

    at_cuts: CutMode | None = "hold"
    duplicates: DuplicateMode = "skip"
    longest_hold: int = LONGEST_HOLD
    excluded: Ranges = ()
    bisects: bool = False

    @property
    def behind(self) -> int:
        """How many source frames before the current one a decision may look at."""
        return {"retime": self.longest_hold, "repair": repair.BEHIND}.get(self.duplicates, 1)

    @property
    def ahead(self) -> int:
        """How many source frames after the current one a decision may look at."""
        return {"retime": 2 * self.longest_hold, "repair": repair.AHEAD}.get(self.duplicates, 1)

    @property
    def shown_range(self) -> tuple[int, int]:
        """How far before and after the current source frame those are that a decision may show."""
        fault = repair.LONGEST_FAULT
        ranges = {"retime": (self.longest_hold, 2 * self.longest_hold), "repair": (fault, fault)}
        return ranges.get(self.duplicates, (0, 1))

    def decide(self, timeline: Timeline, n: int, facts: FactsAt) -> Decision:
        """Decide what output frame n shows."""
        index = timeline.source_index(n)
        if self._excludes(index):
            return Copy(index)
        repaired = self._repaired(timeline, n, facts) if self.duplicates == "repair" else None
        step = self._retimed(timeline, n, facts) if self.duplicates == "retime" else repaired or timeline.step(n)
        if not isinstance(step, Interpolate):
            return step
        if self.duplicates != "retime" and repaired is None:
            fact = facts(step.first)
            if self._cuts(fact):
                return self._at_cut(step)
            if self.duplicates in ("skip", "repair") and fact.duplicate:
                return Copy(step.first)
        t = nearest(step.t) if self.bisects else step.t
        snap = _UNEVEN if self.duplicates == "repair" and isinstance(timeline, TimedTimeline) else SNAP
        if t * (step.second - step.first) <= snap:
            return Copy(step.first)
        if (1 - t) * (step.second - step.first) <= snap:
            return Copy(step.second)
        return Interpolate(step.first, step.second, t)

    def _repaired(self, timeline: Timeline, n: int, facts: FactsAt) -> Decision | None:
        """Interpolate in place of repeated frames that hide dropped ones; None if there are none."""
        last = timeline.source_length - 1
        index = min(timeline.source_index(n), last)

        def motion(k: int) -> repair.Motion | None:
            if not 0 <= k < last or self._excludes(k) or self._excludes(k + 1):
                return None
            fact = facts(k)
            return repair.Motion(not fact.duplicate and not fact.cut, fact.apart)

        def held(k: int) -> bool:
            return 0 <= k < last and self._held(k, facts)

        found = repair.gap(index, motion, held, self.longest_hold)
        if found is None or timeline.position(n) == found[0]:
            return None
        return Interpolate(*found, timeline.between(n, *found))

    def _retimed(self, timeline: Timeline, n: int, facts: FactsAt) -> Decision:
        """Re-time a held drawing: interpolate evenly from its first frame to the first frame of the next drawing."""
        position = timeline.position(n)
        last = timeline.source_length - 1
        index = min(timeline.source_index(n), last)
        start, end = self._run(index, last, facts)
        # A still image, or a run of unknown length: only its last step moves, if that is this one
        if end - start > self.longest_hold:
            if index < last and self._held(index, facts):
                return Copy(index)
            start, end = index, index + 1
        if end > last:
            return Copy(index)
        first = self._cleanest(start, end, facts)
        if position == start:
            return Copy(first)
        if self._cuts(facts(end - 1)):
            step = timeline.step(n)
            return self._at_cut(step) if index == end - 1 and isinstance(step, Interpolate) else Copy(index)
        following = self._run(end, last, facts)[1]
        following = end + 1 if following - end > self.longest_hold else following
        return Interpolate(first, self._cleanest(end, following, facts), timeline.between(n, start, end))

    def _run(self, index: int, last: int, facts: FactsAt) -> tuple[int, int]:
        """The copies of a drawing around one of them, as a range of source frames; cut off where it is too long."""
        start, end = index, index + 1
        while start > 0 and index - start < self.longest_hold and self._held(start - 1, facts):
            start -= 1
        while end <= last and end - start <= self.longest_hold and self._held(end - 1, facts):
            end += 1
        return start, end

    def _cleanest(self, start: int, end: int, facts: FactsAt) -> int:
        """The copy of a drawing with the least blocks of an encoder, the first among equals."""
        return min(range(start, end), key=lambda k: facts(k).blockiness)

    def shown_scene(self, timeline: Timeline, n: int, facts: FactsAt) -> int:
        """A source frame of the scene that output frame n shows (more of)."""
        index = timeline.source_index(n)
        past_middle = timeline.position(n) - index > Fraction(1, 2)
        if self.at_cuts != "nearest" or not past_middle or self._excludes(index):
            return index
        return index + 1 if facts(index).cut else index

    def _cuts(self, fact: Facts) -> bool:
        return fact.cut and self.at_cuts is not None

    def _at_cut(self, step: Interpolate) -> Decision:
        if self.at_cuts == "blend":
            return CrossFade(step.first, step.second, step.t)
        past_middle = step.t > Fraction(1, 2)
        return Copy(step.second if self.at_cuts == "nearest" and past_middle else step.first)

    def _held(self, k: int, facts: FactsAt) -> bool:
        """Whether source frame k + 1 repeats the drawing of frame k."""
        fact = facts(k)
        return fact.duplicate and not self._cuts(fact) and not self._excludes(k) and not self._excludes(k + 1)

    def _excludes(self, k: int) -> bool:
        """Whether source frame k is only repeated."""
        found = bisect_right(self.excluded, k, key=lambda bounds: bounds[0]) - 1
        return found >= 0 and k <= self.excluded[found][1]


def scene_marks(timeline: Timeline, policy: Policy, n: int, facts: FactsAt) -> tuple[bool, bool]:
    """Whether output frame n is the (first, last) frame of a scene; the clip's own ends count as neither."""
    index = policy.shown_scene(timeline, n, facts)
    before = policy.shown_scene(timeline, n - 1, facts) if n > 0 else index
    after = policy.shown_scene(timeline, n + 1, facts) if n + 1 < timeline.length else index
    return _crosses(timeline, before, index, facts), _crosses(timeline, index, after, facts)


def _crosses(timeline: Timeline, index: int, other: int, facts: FactsAt) -> bool:
    """Whether a cut lies between two source frames, or they are further apart than footage is played."""
    if abs(other - index) > timeline.stride:
        return True
    return any(facts(k).cut for k in range(min(index, other), max(index, other)))


def reach(timeline: Timeline, policy: Policy) -> tuple[int, int]:
    """How many source frames (before, after) the current one `decide`, `scene_marks` and durations look at."""
    return max(policy.behind, timeline.stride), max(policy.ahead, timeline.stride)
