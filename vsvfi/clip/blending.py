"""The pool of nodes that blend: a session of the engine behind K ModifyFrame nodes. Imports torch, so it is imported
only when a graph is built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import vapoursynth as vs
from torch import Tensor

from vsvfi.clip import decisions
from vsvfi.clip.failures import reporting
from vsvfi.clip.lifetime import close_with_environment
from vsvfi.clip.planes import planes_of, read_planes, write_planes
from vsvfi.engine.build import Blueprint, read_model
from vsvfi.engine.device import default_streams, describe, memory, resolve_device, resolve_precision
from vsvfi.engine.session import Session
from vsvfi.errors import ArgumentError, FrameError
from vsvfi.models.registry import find
from vsvfi.options import Options
from vsvfi.plan.timeline import Blend

_LAYER = 2**31
"""More than any index of a source frame: indices of another layer's frames are never those of this one."""


class PoolOf(Protocol):
    """Makes the pool of nodes for one layer of the output: 0 the picture, 1 its alpha."""

    def __call__(
        self, first: vs.VideoNode, second: vs.VideoNode, plan: vs.VideoNode, *, layer: int = 0
    ) -> list[vs.VideoNode]: ...


def blend_pool(
    clip: vs.VideoNode, options: Options, log: Callable[[str], None], together: int = 0
) -> tuple[int, PoolOf]:
    """Load the model and open a session for clips like this one.

    Args:
        clip: the source; its size and format count.
        options: checked.
        log: takes one line about what was chosen.
        together: levels of halving whose midpoints are all wanted.

    Returns:
        The RGB format that the pool works in, and a function that makes the pool from the first and second RGB frames
        and the plan, all aligned to the output.
    """
    _, variant = find(options.model)
    devices = [resolve_device(name) for name in options.devices]
    if len(set(devices)) < len(devices):
        raise ArgumentError(
            "device", list(options.devices), "a list must name different devices", "list each device once"
        )
    dtypes = [
        resolve_precision(options.precision, device, half=variant.half, bfloat=variant.bfloat) for device in devices
    ]
    # Half-precision frames halve the traffic; they have the 11 bits that 10-bit video needs, and no more.
    narrow = (
        all(dtype == torch.float16 for dtype in dtypes)
        and clip.format.bits_per_sample <= 10
        and clip.format.sample_type == vs.INTEGER
    )
    rgb_format, io_dtype = (vs.RGBH, torch.float16) if narrow else (vs.RGBS, torch.float32)
    blueprint = read_model(options.model, options.weights)
    workers = options.streams or _streams(blueprint, clip, devices, dtypes)
    session = Session(
        blueprint,
        devices=devices,
        dtypes=dtypes,
        size=(clip.width, clip.height),
        scale=options.scale,
        options=options.options,
        workers=workers,
        cache=options.cache,
        io_dtype=io_dtype,
        together=together,
    )
    close_with_environment(session)
    log(
        f"{options.model} on {', '.join(describe(device) for device in devices)} in "
        f"{str(dtypes[0]).removeprefix('torch.')}, {workers} at a time"
    )
    # One node more than frames computed at a time: it reads and writes planes while the others compute.
    size = (workers + 1) * len(devices)

    def pool_of(first: vs.VideoNode, second: vs.VideoNode, plan: vs.VideoNode, *, layer: int = 0) -> list[vs.VideoNode]:
        blend = _blend_callback(session, rgb_format, layer * _LAYER)
        return [
            first.std.BlankClip(length=plan.num_frames, keep=True).std.ModifyFrame([first, second, plan], blend)
            for _ in range(size)
        ]

    return int(rgb_format), pool_of


def _streams(blueprint: Blueprint, clip: vs.VideoNode, devices: list[torch.device], dtypes: list[torch.dtype]) -> int:
    """How many frames to compute at the same time per device: as many as is usual there, if they fit and VapourSynth
    asks for as many.
    """
    found = min(max(1, vs.core.core.num_threads), *(default_streams(device) for device in devices))
    for device, dtype in zip(devices, dtypes, strict=True):
        while found > 1 and blueprint.needs(clip.width, clip.height, dtype, found) > memory(device):
            found -= 1
    return found


def _blend_callback(
    session: Session, rgb_format: int, offset: int
) -> Callable[[int, list[vs.VideoFrame]], vs.VideoFrame]:
    """What a node of the pool does for output frame n; `offset` is added to indices that the session remembers."""
    core = vs.core.core

    def blend(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        first, second, plan = f
        planned = decisions.read(plan).blend
        if planned is None:
            raise FrameError(n, "was planned as a copy but requested as a blend")
        wanted = Blend(planned.first + offset, planned.second + offset, planned.t)
        inputs = {wanted.first: planes_of(first), wanted.second: planes_of(second)}
        out = core.create_video_frame(core.get_video_format(rgb_format), first.width, first.height)
        target = planes_of(out)

        def load(index: int, into: Tensor) -> None:
            read_planes(inputs[index], into)

        def deliver(image: Tensor) -> None:
            write_planes(image, target)

        session.blend(n, wanted, load, deliver)
        return out

    return reporting(blend)
