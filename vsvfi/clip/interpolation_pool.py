"""Interpolate frames in a pool of ModifyFrame nodes that share one engine session.

Imports torch, so it is imported only when a graph is built.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import vapoursynth as vs
from torch import Tensor

from vsvfi.clip import decisions
from vsvfi.clip.colour import Colour
from vsvfi.clip.failures import reporting
from vsvfi.clip.planes import TENSOR_TYPES, pack_planes, planes_of, read_planes, unpack_planes, write_planes
from vsvfi.engine.session import Session
from vsvfi.errors import FrameError
from vsvfi.plan.timeline import Interpolate

_LAYER = 2**31
"""Above any source frame index, so that the layers' cache keys never collide."""


def rgb_format(io_dtype: torch.dtype) -> int:
    """The RGB format whose samples are of this type."""
    return next(int(video_format) for video_format, dtype in TENSOR_TYPES.items() if dtype == io_dtype)


def interpolation_pool(
    session: Session,
    first: vs.VideoNode,
    second: vs.VideoNode,
    plan: vs.VideoNode,
    layer: int,
    colour: Colour | None = None,
) -> list[vs.VideoNode]:
    """Return nodes that can each interpolate any output frame.

    Args:
        session: of the engine.
        first, second: frames to interpolate between, aligned to the output; RGB unless `colour` is given.
        plan: of `decision_clip`.
        layer: 0 for the colour planes, 1 for alpha.
        colour: returns the coding of frames that the session converts to RGB and back.
    """
    interpolate = _callback(session, layer * _LAYER, colour)
    # One node more than frames computed at a time: it reads and writes planes while the others compute.
    size = (session.config.workers + 1) * len(session.config.placements)
    return [
        first.std.BlankClip(length=plan.num_frames, keep=True).std.ModifyFrame([first, second, plan], interpolate)
        for _ in range(size)
    ]


def _callback(
    session: Session, offset: int, colour: Colour | None
) -> Callable[[int, list[vs.VideoFrame]], vs.VideoFrame]:
    """Return the ModifyFrame callback of a node; `offset` is added to the indices that the session uses as keys."""
    core = vs.core.core

    def interpolate(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        first, second, plan = f
        decision = decisions.shown(plan)
        if not isinstance(decision, Interpolate):
            raise FrameError(n, "was planned as a copy or cross-fade but requested as an interpolated frame")
        goal = Interpolate(decision.first + offset, decision.second + offset, decision.t)
        frames = {goal.first: first, goal.second: second}
        inputs = {index: planes_of(frame) for index, frame in frames.items()}
        codings = None
        if colour is not None:
            codings = {index: colour.coding(frame.props) for index, frame in frames.items()}
        out = core.create_video_frame(first.format, first.width, first.height)
        target = planes_of(out)

        def load(index: int, into: Tensor) -> None:
            (read_planes if codings is None else pack_planes)(inputs[index], into)

        def deliver(image: Tensor) -> None:
            (write_planes if codings is None else unpack_planes)(image, target)

        session.interpolate(n, goal, load, deliver, codings)
        return out

    return reporting(interpolate)
