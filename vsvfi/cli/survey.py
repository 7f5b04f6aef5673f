"""Survey a clip inside vspipe before a job is planned: its speed, and where chunks may begin."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import vapoursynth as vs

from vsvfi.cli.piping import Piped
from vsvfi.clip import scenes
from vsvfi.clip.graph import Interpolated
from vsvfi.clip.readable import readable
from vsvfi.jobs.chunks import chunk_length, divide
from vsvfi.plan.policy import Facts, Policy, scene_marks

_SECONDS = 5.0
"""How long the speed is measured."""

_FRAMES = 64
"""Maximum frames for the measurement of the speed."""


def survey(source: vs.VideoNode, interpolated: Interpolated, output: Piped, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Divide the output into chunks.

    Args:
        source: the clip before interpolation.
        interpolated: the clip after it.
        output: the clip that is piped.
        wish: "first" and "last" output frame (None for the end), "seconds" per chunk of the output (None to choose by
            the speed), "scene" and "threshold" of `interpolate()`.

    Returns:
        "starts", the first frame of each chunk; "last", the last frame; "speed", in frames per second.
    """
    clip = output.clip
    first = wish["first"]
    last = clip.num_frames - 1 if wish["last"] is None else min(wish["last"], clip.num_frames - 1)
    if last < first:
        return {"starts": [], "last": last, "speed": 0.0}
    speed = _speed(clip, first, last)
    rate = interpolated.timeline.rate
    assert rate is not None, "the source of a render has a rate"
    length = chunk_length(rate, speed) if wish["seconds"] is None else max(1, round(wish["seconds"] * rate))
    chunks = divide(first, last, length, _scene_starts(source, interpolated, wish))
    return {"starts": [chunk.first for chunk in chunks], "last": last, "speed": speed}


def _speed(clip: vs.VideoNode, first: int, last: int) -> float:
    """Render frames from the middle of a part for some seconds; returns frames per second."""
    middle = first + (last - first) // 2
    some = clip.std.Trim(first=middle, last=min(last, middle + _FRAMES - 1))
    with some.get_frame(0), some.get_frame(some.num_frames - 1):
        pass  # decoders, networks and caches start
    began, done = time.monotonic(), 0
    for _ in some.frames(close=True):
        done += 1
        if time.monotonic() - began > _SECONDS:
            break
    return done / max(time.monotonic() - began, 1e-6)


def _scene_starts(source: vs.VideoNode, interpolated: Interpolated, wish: Mapping[str, Any]) -> Callable[[int], bool]:
    """Return a function that decides whether an output frame is the first of a scene."""
    scene = "props" if wish["scene"] == "props" else "auto"
    measured = scenes.facts(readable(source), scene=scene, threshold=wish["threshold"], duplicates=False)

    @functools.lru_cache(maxsize=64)
    def facts(k: int) -> Facts:
        with measured.get_frame(k) as frame:
            return scenes.read(frame)

    return lambda n: scene_marks(interpolated.timeline, Policy(), n, facts)[0]
