"""Replace unreadable source frames with marked blank frames, in a clip used for measurements only.

VapourSynth fails a callback if one of its declared inputs fails, so the guard requests the frame itself and waits. The
core lets another thread run in place of the waiting one (since R78), and several guards take turns, so that slow
sources keep their concurrency. Frames that are copied or interpolated are read from the original clip instead.
"""

from __future__ import annotations

from collections.abc import Mapping

import vapoursynth as vs

from vsvfi.clip.failures import essential, reporting
from vsvfi.clip.stalls import Stalls

UNREADABLE = "_vsvfi_unreadable"
"""Prop of a blank frame that replaces an unreadable one; holds the cause."""

_MOST_GUARDS = 32
_MOST_WARNINGS = 20


def readable(clip: vs.VideoNode) -> vs.VideoNode:
    """Return `clip` with each unreadable frame replaced by a blank one that has the prop UNREADABLE.

    The first failures are logged as warnings, each frame once.
    """
    core = vs.core.core
    blank = clip.std.BlankClip(width=1, height=1, format=vs.GRAY8, keep=True)
    template = clip.std.BlankClip(keep=True)
    logged: set[int] = set()
    stalls = Stalls()

    def guard(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        try:
            with stalls.waiting(core):
                return clip.get_frame(n)
        except Exception as error:
            cause = essential(error)
        if n not in logged and len(logged) < _MOST_WARNINGS:
            logged.add(n)
            more = "; later ones are not reported" if len(logged) == _MOST_WARNINGS else ""
            core.log_message(
                vs.MESSAGE_TYPE_WARNING,
                f"interpolate: source frame {n} cannot be read, so scene changes and duplicates next to it are unknown "
                f"({cause}){more}",
            )
        with template.get_frame(n) as empty:
            out = empty.copy()
        out.props[UNREADABLE] = cause
        return out

    guards = [template.std.ModifyFrame(blank, reporting(guard, "source frame")) for _ in range(_guards(core))]
    if len(guards) == 1:
        return guards[0]
    return template.std.FrameEval(lambda n: guards[n % len(guards)], clip_src=guards)


def fault_of(props: Mapping[str, object]) -> str | None:
    """Why the frame with these props cannot be read, or None if it can."""
    fault = props.get(UNREADABLE)
    return fault.decode(errors="replace") if isinstance(fault, bytes) else None if fault is None else str(fault)


def _guards(core: vs.Core) -> int:
    """How many guards keep the concurrency that the source has without them."""
    return max(1, min(core.num_threads, _MOST_GUARDS))
