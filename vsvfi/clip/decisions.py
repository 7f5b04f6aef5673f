"""The plan as a clip: a 1x1 clip, aligned to the output, whose frame n says in props what output frame n shows and for
how long.

Knows neither pictures nor models: it turns facts about source frames (`scenes`) into decisions (`plan.policy`) at
request time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import vapoursynth as vs

from vsvfi.clip import scenes
from vsvfi.clip.durations import DurationOf
from vsvfi.clip.failures import reporting
from vsvfi.clip.readable import fault_of
from vsvfi.clip.select import Selection
from vsvfi.errors import ClipError
from vsvfi.plan.policy import Facts, Policy, reach, scene_marks
from vsvfi.plan.timeline import Blend, Timeline

FIRST, SECOND = "_vsvfi_first", "_vsvfi_second"
"""Props with the source frames of a decision; equal for a copy."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What output frame n shows.

    Attributes:
        first, second: source frames; equal for a copy of one.
        t: where between them.
        duration: seconds, or None where the source does not say.
        on_source: the frame begins exactly where a source frame begins.
        scene_first, scene_last: it is the first, the last frame of a scene.
    """

    first: int
    second: int
    t: Fraction
    duration: Fraction | None
    on_source: bool
    scene_first: bool
    scene_last: bool

    @property
    def blend(self) -> Blend | None:
        """What to compute, or None for a copy."""
        return None if self.first == self.second else Blend(self.first, self.second, self.t)


def decision_clip(
    source: vs.VideoNode,
    facts: vs.VideoNode,
    selection: Selection,
    timeline: Timeline,
    policy: Policy,
    durations: tuple[int, DurationOf],
) -> vs.VideoNode:
    """The plan of a clip, aligned to the output; decode its frames with `read`."""
    before, after = reach(timeline, policy)
    offsets = range(-before, after + 1)
    facts_inputs = [selection.aligned(facts, offset) for offset in offsets]
    ahead, duration_of = durations
    source_inputs = [selection.aligned(source, offset) for offset in range(ahead + 1)]
    blank = source.std.BlankClip(width=1, height=1, format=vs.GRAY8, length=timeline.length, keep=True)

    def decide(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        out, facts_frames, source_frames = f[0].copy(), f[1 : 1 + len(offsets)], f[1 + len(offsets) :]
        facts_at = _facts_at(timeline.source_index(n), before, facts_frames)
        step = policy.decide(timeline, n, facts_at)
        duration = duration_of(n, source_frames)
        scene_first, scene_last = scene_marks(timeline, n, facts_at)
        needed = (step.first, step.second) if isinstance(step, Blend) else (step.frame,)
        _check_readable(needed, timeline.source_index(n) - before, facts_frames)
        first, second, t = (
            (step.first, step.second, step.t) if isinstance(step, Blend) else (step.frame, step.frame, Fraction(0))
        )
        out.props.update(
            {
                FIRST: first,
                SECOND: second,
                "_vsvfi_t": [t.numerator, t.denominator],
                "_vsvfi_duration": [duration.numerator, duration.denominator] if duration is not None else [0, 0],
                "_vsvfi_marks": [int(timeline.position(n).denominator == 1), int(scene_first), int(scene_last)],
            }
        )
        return out

    return blank.std.ModifyFrame([blank, *facts_inputs, *source_inputs], reporting(decide))


def read(frame: vs.VideoFrame) -> Decision:
    """The decision in a frame of `decision_clip`."""
    props = frame.props
    t, duration, marks = props["_vsvfi_t"], props["_vsvfi_duration"], props["_vsvfi_marks"]
    return Decision(
        int(props[FIRST]),
        int(props[SECOND]),
        Fraction(*t),
        Fraction(*duration) if duration[1] else None,
        *(bool(mark) for mark in marks),
    )


def _facts_at(index: int, before: int, frames: list[vs.VideoFrame]) -> Callable[[int], Facts]:
    """Facts by source index, from the frames around `index`; before the clip begins there are none."""

    def at(source_index: int) -> Facts:
        return scenes.read(frames[source_index - index + before]) if source_index >= 0 else Facts()

    return at


def _check_readable(needed: tuple[int, ...], start: int, frames: list[vs.VideoFrame]) -> None:
    """Refuse a decision for source frames that cannot be had.

    Args:
        needed: indices of the frames to show or blend.
        start: source index of the first of the facts `frames`.

    Raises:
        ClipError: a frame is needed that cannot be had.
    """
    for index in needed:
        fault = fault_of(frames[index - start].props)
        if fault is not None:
            raise ClipError(f"source frame {index} cannot be read", fault)
