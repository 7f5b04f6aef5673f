"""Find repeated frames that stand in the place of dropped ones, by the motion around them.

A recorder that misses a frame repeats the one before it, or the one after it. The step on the other side of the
repeat then spans two usual steps. How much frames differ at the distance of two steps is known from the neighbourhood,
so no estimate of motion is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

LONGEST_FAULT = 4
"""Maximum frames of a repeat that is repaired: three dropped ones."""

_CLEAN = 3
"""Steps on both sides of a fault that must move: where drawings are held now and then, nothing is repaired."""

BEHIND, AHEAD = 2 * LONGEST_FAULT, LONGEST_FAULT + _CLEAN - 1
"""Steps before and after the current source frame that `gap` looks at."""

_CLEAR = 1.3
"""How much more two usual steps must change than one, and the jump than its neighbours, in mean squared difference."""

_HELD = 1 / 16
"""Share of the largest change around a fault below which a step is a held drawing that passes for motion."""


@dataclass(frozen=True, slots=True)
class Motion:
    """The facts about a step that `gap` needs.

    Attributes:
        moves: something changes, and it is no cut.
        apart: mean squared differences from the frame before the step to the next ones, up to LONGEST_FAULT; empty if
            they are not known.
    """

    moves: bool
    apart: tuple[float, ...]


type MotionAt = Callable[[int], Motion | None]
"""The step from source frame k to k + 1, or None outside the clip and where nothing may be changed."""

type HeldAt = Callable[[int], bool]
"""Whether source frame k + 1 repeats frame k."""


def gap(index: int, motion: MotionAt, held: HeldAt, longest: int = LONGEST_FAULT) -> tuple[int, int] | None:
    """The frames between which everything is a repeat that hides dropped frames, around source frame `index`.

    Returns:
        (start, end) with start <= index < end, or None if nothing was dropped there.
    """
    longest = min(longest, LONGEST_FAULT)
    for begin in (index, index + 1):  # a run that includes the frame, or one that begins after it
        start = end = begin
        while start > index - longest and held(start - 1):
            start -= 1
        while end < start + longest and held(end):
            end += 1
        if not 1 <= end - start < longest or held(start - 1):
            continue
        if index >= start and _jumps(end, start, end, motion):
            return start, end + 1
        if index < end and _jumps(start - 1, start, end, motion):
            return start - 1, end
    return None


def _jumps(step: int, start: int, end: int, motion: MotionAt) -> bool:
    """Whether the step at one end of the repeated frames start to end spans as many usual ones as there are frames."""
    count, jump = end - start + 1, motion(step)
    first, last = min(start, step), max(end, step + 1)  # frames between which something is missing
    before, after = [motion(first - 1 - k) for k in range(_CLEAN)], [motion(last + k) for k in range(_CLEAN)]
    wide = [motion(first - count), motion(last)]
    noise = max(_apart(motion(k), 1) for k in range(start, end))
    around = [*before, *after]
    if any(one is None or not one.moves or not one.apart for one in [jump, *around, *wide]):
        return False
    changes = [_apart(one, 1) for one in around]
    if min(changes) < _HELD * max(changes):
        return False
    size = _apart(jump, 1) - noise
    ones = [max(_apart(one, 1) - noise, 1e-9) for one in (before[0], after[0])]
    many = [max(_apart(one, count) - noise, 1e-9) for one in wide]
    usual, expected = prod(ones) ** 0.5, prod(many) ** 0.5
    steady = max(_apart(one, 1) for one in (*before[:2], *after[:2])) - noise
    if usual < noise:  # an encoder's refinements pass for motion
        return False
    return expected > _CLEAR * usual and size > _CLEAR * steady and size > (usual * expected) ** 0.5


def _apart(motion: Motion | None, distance: int) -> float:
    return motion.apart[distance - 1] if motion is not None and len(motion.apart) >= distance else 0.0
