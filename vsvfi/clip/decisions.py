"""Store the plan as a clip: the props of its frame n state what output frame n shows and for how long.

The clip is 1x1 and aligned to the output. Only this module converts between decisions and props: `plan.policy` decides
from facts about source frames (`scenes`) at request time, and callers decode the result with `shown` or `timing`.
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
from vsvfi.plan.timeline import Copy, CrossFade, Decision, Interpolate, Timeline

_SHOWN, _TIMING = "_vsvfi_shown", "_vsvfi_timing"
"""[frame] of a copy, [first, second, numerator, denominator] of an interpolated frame, with a fifth number for a
cross-fade; and the fields of `Timing`.
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """When output frame n is shown.

    Attributes:
        duration: seconds, or None if the source does not specify it.
        on_source: the frame begins exactly where a source frame begins.
        scene_first, scene_last: it is the first, the last frame of a scene.
    """

    duration: Fraction | None
    on_source: bool
    scene_first: bool
    scene_last: bool


def decision_clip(
    source: vs.VideoNode,
    facts: vs.VideoNode,
    selection: Selection,
    timeline: Timeline,
    policy: Policy,
    durations: tuple[int, DurationOf],
) -> vs.VideoNode:
    """Build the plan of a clip, aligned to the output; decode its frames with `shown` and `timing`."""
    before, after = reach(timeline, policy)
    offsets = range(-before, after + 1)
    facts_inputs = [selection.aligned(facts, offset) for offset in offsets]
    ahead, duration_of = durations
    source_inputs = [selection.aligned(source, offset) for offset in range(ahead + 1)]
    blank = source.std.BlankClip(width=1, height=1, format=vs.GRAY8, length=timeline.length, keep=True)

    def decide(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        out, facts_frames, source_frames = f[0].copy(), f[1 : 1 + len(offsets)], f[1 + len(offsets) :]
        facts_at = _facts_at(timeline.source_index(n), before, facts_frames)
        decision = policy.decide(timeline, n, facts_at)
        # A cleaner copy of a drawing is shown for another source frame, but has not its time.
        moved = isinstance(decision, Copy) and decision.frame != timeline.source_index(n)
        times = Timing(
            duration_of(n, source_frames),
            timeline.on_source(n) and not moved,
            *scene_marks(timeline, policy, n, facts_at),
        )
        _check_readable(decision, timeline.source_index(n) - before, facts_frames)
        out.props.update(_encoded(decision, times))
        return out

    return blank.std.ModifyFrame([blank, *facts_inputs, *source_inputs], reporting(decide))


def shown(plan: vs.VideoFrame) -> Decision:
    """What the output frame shows, from its frame of `decision_clip`."""
    numbers = plan.props[_SHOWN]
    if isinstance(numbers, int):  # VapourSynth returns an array of one number as the number
        return Copy(numbers)
    first, second, numerator, denominator, *faded = numbers
    return (CrossFade if faded else Interpolate)(first, second, Fraction(numerator, denominator))


def first_of(plan: vs.VideoFrame) -> int:
    """The copied source frame, or the source frame before an interpolated frame."""
    decision = shown(plan)
    return decision.frame if isinstance(decision, Copy) else decision.first


def second_of(plan: vs.VideoFrame) -> int:
    """The copied source frame, or the source frame after an interpolated frame."""
    decision = shown(plan)
    return decision.frame if isinstance(decision, Copy) else decision.second


def nearest_of(plan: vs.VideoFrame) -> int:
    """The copied source frame, or the nearer of the two around an interpolated frame; the first if equally near."""
    decision = shown(plan)
    if isinstance(decision, Copy):
        return decision.frame
    return decision.first if decision.t <= Fraction(1, 2) else decision.second


def timing(plan: vs.VideoFrame) -> Timing:
    """When the output frame is shown, from its frame of `decision_clip`."""
    numerator, denominator, *marks = plan.props[_TIMING]
    return Timing(Fraction(numerator, denominator) if denominator else None, *map(bool, marks))


def _encoded(decision: Decision, times: Timing) -> dict[str, list[int]]:
    """Encode a decision and its timing as props."""
    duration = (0, 0) if times.duration is None else times.duration.as_integer_ratio()
    if isinstance(decision, Copy):
        numbers = [decision.frame]
    else:
        faded = [1] if isinstance(decision, CrossFade) else []
        numbers = [decision.first, decision.second, *decision.t.as_integer_ratio(), *faded]
    return {_SHOWN: numbers, _TIMING: [*duration, times.on_source, times.scene_first, times.scene_last]}


def _facts_at(index: int, before: int, frames: list[vs.VideoFrame]) -> Callable[[int], Facts]:
    """Facts by source index, from the frames around `index`; before the clip begins there are none."""

    def at(source_index: int) -> Facts:
        return scenes.read(frames[source_index - index + before]) if source_index >= 0 else Facts()

    return at


def _check_readable(decision: Decision, start: int, frames: list[vs.VideoFrame]) -> None:
    """Refuse a decision that needs unreadable source frames.

    Args:
        decision: what the output frame shows.
        start: source index of the first of the facts `frames`.

    Raises:
        ClipError: a needed source frame cannot be read.
    """
    needed = (decision.frame,) if isinstance(decision, Copy) else (decision.first, decision.second)
    for index in needed:
        fault = fault_of(frames[index - start].props)
        if fault is not None:
            raise ClipError(f"source frame {index} cannot be read", fault)
