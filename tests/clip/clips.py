"""Clips for tests of `interpolate()` with the fake family."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import vapoursynth as vs

import vsvfi
from tests.fakes import Recorder, painted


def interpolated(fake: Recorder, clip: vs.VideoNode, **arguments: object) -> vs.VideoNode:
    return vsvfi.interpolate(clip, **{"model": "fake", "weights": fake.weights, "device": "cpu", **arguments})


def times(clip: vs.VideoNode) -> list[Fraction]:
    with_durations = [
        Fraction(int(frame.props["_DurationNum"]), int(frame.props["_DurationDen"]))
        for frame in clip.frames(close=True)
    ]
    for frame in clip.frames(close=True):
        assert (
            Fraction(int(frame.props["_DurationNum"]), int(frame.props["_DurationDen"])).denominator
            == frame.props["_DurationDen"]
        )
    return with_durations


def noise(name: str, length: int = 3, moving: bool = False, smooth_chroma: bool = True) -> vs.VideoNode:
    """Every code of a format.

    The chroma of subsampled formats is flat, since resampling it is not lossless.
    """
    video_format = vs.core.get_video_format(getattr(vs, name))
    subsampled = video_format.subsampling_w or video_format.subsampling_h

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        generator = np.random.default_rng([plane, n if moving else 0])
        chroma = plane > 0 and video_format.color_family == vs.YUV
        if chroma and subsampled and smooth_chroma:
            array[:] = 0.1 if video_format.sample_type == vs.FLOAT else 3 << (video_format.bits_per_sample - 3)
        elif video_format.sample_type == vs.INTEGER:
            array[:] = generator.integers(0, 1 << video_format.bits_per_sample, array.shape)
        else:
            array[:] = generator.uniform(-0.5 if chroma else -0.2, 0.5 if chroma else 1.2, array.shape)

    return painted(paint, format=getattr(vs, name), width=64, height=48, length=length, fpsnum=24)


def marked(clip: vs.VideoNode, cut_after: int) -> vs.VideoNode:
    def mark(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        out.props["_SceneChangeNext"], out.props["_SceneChangePrev"] = int(n == cut_after), int(n == cut_after + 1)
        return out

    return clip.std.ModifyFrame(clip, mark)


def held(drawings: list[int]) -> vs.VideoNode:
    """A clip that shows drawing d as a flat image of value d / 100."""

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        array[:] = drawings[n] / 100

    return painted(paint, format=vs.RGBS, width=32, height=16, length=len(drawings), fpsnum=24)
