"""Source-aligned clips to output-aligned ones: frame n of the result is frame floor(n / factor) + offset of the source, clamped to its ends.

Done by std.SelectEvery, so nothing runs in Python and clips of 2^31-1 frames cost nothing. Knows nothing of what the frames are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor

import vapoursynth as vs

from vsvfi.errors import ArgumentError
from vsvfi.plan.timeline import LARGEST_LENGTH, Timeline

_LARGEST_CYCLE = 4_000_000


class Selection:
    """The mapping of one timeline; `argument` is the one that chose its factor.

    Raises:
        ArgumentError: the ratio is so fine that its cycle would not fit in memory.
    """

    def __init__(self, timeline: Timeline, argument: str = "multi") -> None:
        factor = timeline.factor
        if factor.numerator > _LARGEST_CYCLE:
            given = timeline.rate if argument == "fps" else factor
            raise ArgumentError(
                argument, str(given), f"is {factor} times the clip's rate, too fine a ratio", "use a simpler one, such as fps=60000/1001 or multi=5/2"
            )
        self._timeline = timeline
        cycles = 2 if factor.denominator == 1 else 1  # SelectEvery wants a cycle of two frames at least
        self._cycle = cycles * factor.denominator
        self._offsets = [index * factor.denominator // factor.numerator for index in range(cycles * factor.numerator)]

    def aligned(self, clip: vs.VideoNode, offset: int) -> vs.VideoNode:
        """`clip` aligned to the output, `offset` frames ahead (or behind, if negative)."""
        length = self._timeline.source_length
        if offset > 0:
            # Requests past the end are answered with the last frame.
            shifted = clip.std.Trim(first=min(offset, length - 1))
        elif offset < 0:
            shifted = clip.std.Trim(length=min(length, LARGEST_LENGTH + offset))
            shifted = clip.std.Trim(length=1).std.Loop(times=-offset) + shifted
        else:
            shifted = clip
        fitting = floor(LARGEST_LENGTH / self._timeline.factor)
        if shifted.num_frames > fitting:
            shifted = shifted.std.Trim(length=fitting)
        return shifted.std.SelectEvery(cycle=self._cycle, offsets=self._offsets, modify_duration=False)

    def choose(self, clip: vs.VideoNode, offsets: range, plan: vs.VideoNode, prop: str) -> vs.VideoNode:
        """`clip` aligned to the output at the source frame that `plan` names in `prop`, which lies within `offsets` of the current one."""
        nodes = {offset: self.aligned(clip, offset) for offset in offsets}
        if len(nodes) == 1:
            return next(iter(nodes.values()))
        timeline = self._timeline

        def pick(n: int, f: vs.VideoFrame, nodes: Mapping[int, vs.VideoNode] = nodes) -> vs.VideoNode:
            return nodes[int(f.props[prop]) - timeline.source_index(n)]

        template = clip.std.BlankClip(length=self._timeline.length, keep=True)
        return template.std.FrameEval(pick, prop_src=plan, clip_src=list(nodes.values()))
