"""Mix two source frames pixel by pixel, in the clip's own coding."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from vsvfi.clip import decisions
from vsvfi.clip.alpha import ALPHA, alpha_of
from vsvfi.clip.failures import reporting
from vsvfi.plan.timeline import CrossFade


def cross_faded(first: vs.VideoNode, second: vs.VideoNode, plan: vs.VideoNode) -> vs.VideoNode:
    """Return the cross-fades of a plan, with the props of `first`; other output frames are its frames.

    Args:
        first, second: source frames aligned to the output.
        plan: of `decision_clip`.
    """

    def fade(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        before, after, planned = cast(list[vs.VideoFrame], f)
        out, decision = before.copy(), decisions.shown(planned)
        if not isinstance(decision, CrossFade):
            return out
        mix(out, after, float(decision.t))
        alphas = [alpha_of(frame.props, frame.width, frame.height) for frame in (before, after)]
        if alphas[0] is not None and alphas[1] is not None and alphas[0].format.id == alphas[1].format.id:
            transparency = alphas[0].copy()
            mix(transparency, alphas[1], float(decision.t))
            out.props[ALPHA] = transparency
        return out

    return first.std.BlankClip(length=plan.num_frames, keep=True).std.ModifyFrame(
        [first, second, plan], reporting(fade)
    )


def mix(frame: vs.VideoFrame, other: vs.VideoFrame, t: float) -> None:
    """Mix another frame into each plane of `frame` with weight `t`, in place."""
    for plane in range(frame.format.num_planes):
        target: NDArray[Any] = np.asarray(frame[plane])
        mixed = target.astype(np.float32)
        mixed += (np.asarray(other[plane]).astype(np.float32) - mixed) * np.float32(t)
        np.copyto(target, np.rint(mixed) if np.issubdtype(target.dtype, np.integer) else mixed, casting="unsafe")
