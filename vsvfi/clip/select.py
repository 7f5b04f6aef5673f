"""Align a source clip to the output: frame n of the result is source frame floor(n / factor) + offset.

Indices are clamped to the source's ends. Simple ratios are one std.SelectEvery. Its memory grows with the ratio's
numerator, so other ratios use a short cycle slightly slower than the ratio: it falls behind the exact index by a drift
that changes at most every `_LONGEST_CYCLE` frames, and is compensated by starting the clip later. Clips of 2^31-1
frames cost nothing either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil, floor

import vapoursynth as vs

from vsvfi.clip.failures import reporting
from vsvfi.plan.timeline import LARGEST_LENGTH, Timeline

_LONGEST_CYCLE = 2048
"""Output frames after which a selection repeats; above the largest factor, so that no cycle is empty."""

_KEPT_DRIFTS = 4
"""Selections kept per clip: frames are requested in a nearly sequential order."""


class Selection:
    """Map output frames to source frames along one timeline."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        step = 1 / timeline.factor
        self._exact = step.denominator <= _LONGEST_CYCLE
        self._step = step if self._exact else Fraction(floor(step * _LONGEST_CYCLE), _LONGEST_CYCLE)
        cycles = 2 if self._step.numerator == 1 else 1  # SelectEvery needs a cycle of at least two frames
        self._cycle = cycles * self._step.numerator
        numerator, denominator = self._step.as_integer_ratio()
        self._offsets = [index * numerator // denominator for index in range(cycles * denominator)]

    def aligned(self, clip: vs.VideoNode, offset: int) -> vs.VideoNode:
        """`clip` aligned to the output, `offset` frames ahead (or behind, if negative)."""
        if not self._timeline.regular:
            return self._placed(clip, offset)
        if self._exact:
            return self._selected(shifted(clip, offset))
        numerator, denominator = self._step.as_integer_ratio()
        timeline = self._timeline
        kept: dict[int, vs.VideoNode] = {}

        def pick(n: int) -> vs.VideoNode:
            drift = timeline.source_index(n) - n * numerator // denominator
            if drift not in kept:
                if len(kept) == _KEPT_DRIFTS:
                    del kept[next(iter(kept))]
                kept[drift] = self._selected(shifted(clip, offset + drift))
            return kept[drift]

        return clip.std.BlankClip(length=timeline.length, keep=True).std.FrameEval(reporting(pick), clip_src=clip)

    def _placed(self, clip: vs.VideoNode, offset: int) -> vs.VideoNode:
        """`clip` aligned to an output without a fixed ratio: each frame is looked up."""
        timeline, last = self._timeline, clip.num_frames - 1
        kept: dict[int, vs.VideoNode] = {}

        def pick(n: int) -> vs.VideoNode:
            index = max(0, min(timeline.source_index(n) + offset, last))
            if index not in kept:
                if len(kept) == _KEPT_DRIFTS:
                    del kept[next(iter(kept))]
                kept[index] = clip.std.Trim(first=index, length=1).std.Loop()
            return kept[index]

        return clip.std.BlankClip(length=timeline.length, keep=True).std.FrameEval(reporting(pick), clip_src=clip)

    def choose(
        self, clip: vs.VideoNode, offsets: range, plan: vs.VideoNode, index_of: Callable[[vs.VideoFrame], int]
    ) -> vs.VideoNode:
        """Align `clip` to the output by the source index that `index_of` reads from each frame of `plan`.

        That index must lie within `offsets` of the current source frame.
        """
        nodes = {offset: self.aligned(clip, offset) for offset in offsets}
        if len(nodes) == 1:
            return next(iter(nodes.values()))
        timeline = self._timeline

        def pick(n: int, f: vs.VideoFrame, nodes: Mapping[int, vs.VideoNode] = nodes) -> vs.VideoNode:
            return nodes[index_of(f) - timeline.source_index(n)]

        template = clip.std.BlankClip(length=self._timeline.length, keep=True)
        return template.std.FrameEval(reporting(pick), prop_src=plan, clip_src=list(nodes.values()))

    def _selected(self, clip: vs.VideoNode) -> vs.VideoNode:
        """The cycle applied to a clip as long as the source, up to the longest possible clip."""
        if ceil(clip.num_frames / self._step) <= LARGEST_LENGTH:
            return self._select(clip)
        whole = LARGEST_LENGTH // len(self._offsets)
        head, rest = (
            self._select(clip.std.Trim(length=whole * self._cycle)),
            LARGEST_LENGTH - whole * len(self._offsets),
        )
        if rest == 0:
            return head
        following = clip.std.Trim(first=whole * self._cycle)
        following = following.std.Trim(length=min(self._cycle, following.num_frames))
        return head + self._select(following).std.Trim(length=rest)

    def _select(self, clip: vs.VideoNode) -> vs.VideoNode:
        return clip.std.SelectEvery(cycle=self._cycle, offsets=self._offsets, modify_duration=False)


def shifted(clip: vs.VideoNode, offset: int) -> vs.VideoNode:
    """Frame n of the result is frame n + offset, clamped to the clip's ends; as long as `clip`."""
    length = clip.num_frames
    if offset == 0:
        return clip
    count = min(abs(offset), length)
    edge = clip.std.Trim(first=length - 1 if offset > 0 else 0, length=1).std.Loop(times=count)
    if count == length:
        return edge
    return clip.std.Trim(first=count) + edge if offset > 0 else edge + clip.std.Trim(length=length - count)
