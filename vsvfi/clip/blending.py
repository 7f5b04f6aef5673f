"""Interpolate frames in a pool of ModifyFrame nodes that share one engine session.

Imports torch, so it is imported only when a graph is built.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import vapoursynth as vs
from torch import Tensor

from vsvfi.clip import decisions
from vsvfi.clip.failures import reporting
from vsvfi.clip.planes import TENSOR_TYPES, planes_of, read_planes, write_planes
from vsvfi.engine.session import Session
from vsvfi.errors import FrameError
from vsvfi.plan.timeline import Copy, Interpolate

_LAYER = 2**31
"""Above any source frame index, so that the layers' cache keys never collide."""


def rgb_format(io_dtype: torch.dtype) -> int:
    """The RGB format whose samples are of this type."""
    return next(int(form) for form, dtype in TENSOR_TYPES.items() if dtype == io_dtype)


def interpolation_pool(
    session: Session, first: vs.VideoNode, second: vs.VideoNode, plan: vs.VideoNode, layer: int
) -> list[vs.VideoNode]:
    """Return nodes that can each interpolate any output frame.

    Args:
        session: of the engine.
        first, second: RGB frames to interpolate between, aligned to the output.
        plan: of `decision_clip`.
        layer: 0 for the colour planes, 1 for alpha.
    """
    interpolate = _callback(session, layer * _LAYER)
    # One node more than frames computed at a time: it reads and writes planes while the others compute.
    size = (session.config.workers + 1) * len(session.config.placements)
    return [
        first.std.BlankClip(length=plan.num_frames, keep=True).std.ModifyFrame([first, second, plan], interpolate)
        for _ in range(size)
    ]


def _callback(session: Session, offset: int) -> Callable[[int, list[vs.VideoFrame]], vs.VideoFrame]:
    """Return the ModifyFrame callback of a node; `offset` is added to the indices that the session uses as keys."""
    core = vs.core.core

    def interpolate(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        first, second, plan = f
        decision = decisions.shown(plan)
        if isinstance(decision, Copy):
            raise FrameError(n, "was planned as a copy but requested as an interpolated frame")
        goal = Interpolate(decision.first + offset, decision.second + offset, decision.t)
        inputs = {goal.first: planes_of(first), goal.second: planes_of(second)}
        out = core.create_video_frame(first.format, first.width, first.height)
        target = planes_of(out)

        def load(index: int, into: Tensor) -> None:
            read_planes(inputs[index], into)

        def deliver(image: Tensor) -> None:
            write_planes(image, target)

        session.interpolate(n, goal, load, deliver)
        return out

    return reporting(interpolate)
