"""Align source clips to the output by the decisions of its plan."""

from __future__ import annotations

import vapoursynth as vs

from vsvfi.clip import decisions
from vsvfi.clip.select import Selection
from vsvfi.plan.policy import Policy


class Alignment:
    """Aligns source clips to the output by the two source frames around an interpolated frame."""

    def __init__(self, selection: Selection, plan: vs.VideoNode, policy: Policy) -> None:
        self._selection, self._plan = selection, plan
        before, after = policy.shown_range
        self._starts, self._ends = range(-before, after), range(1, after + 1)

    def shown(self, source: vs.VideoNode) -> vs.VideoNode:
        """The copied source frame, or the one before an interpolated frame."""
        span = range(self._starts.start, self._ends.stop) if len(self._starts) > 1 else range(2)
        return self._selection.choose(source, span, self._plan, decisions.first_of)

    def first(self, source: vs.VideoNode) -> vs.VideoNode:
        """The source frame before."""
        return self._selection.choose(source, self._starts, self._plan, decisions.first_of)

    def second(self, source: vs.VideoNode) -> vs.VideoNode:
        """The source frame after."""
        return self._selection.choose(source, self._ends, self._plan, decisions.second_of)

    def nearest(self, source: vs.VideoNode) -> vs.VideoNode:
        """The nearer of the two, the first where both are equally near."""
        span = range(self._starts.start, self._ends.stop)
        return self._selection.choose(source, span, self._plan, decisions.nearest_of)

    def last_step(self, steps: vs.VideoNode) -> vs.VideoNode:
        """The step that ends at the source frame after; frame k of `steps` is the step from k to k + 1."""
        span = range(self._starts.start, self._ends.stop - 1)
        return self._selection.choose(steps, span, self._plan, lambda plan: decisions.second_of(plan) - 1)
