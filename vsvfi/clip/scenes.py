"""Detect scene changes and duplicate frames between consecutive source frames, as props of a 1x1 clip.

VapourSynth's own filters measure downscaled frames; Python only sees a few numbers per frame. The facts about a step
from one frame to the next depend only on the frames from 4 before to 5 after it, never on earlier requests, so seeking
gives the same results. README.md explains the measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import vapoursynth as vs

from vsvfi.clip import cut_score
from vsvfi.clip.copies import APART, BLOCKINESS, Measure, measured, props_of
from vsvfi.clip.cut_score import AFTER, BEFORE, Statistics
from vsvfi.clip.failures import essential, reporting
from vsvfi.clip.log import once
from vsvfi.clip.props import read_integer
from vsvfi.clip.readable import UNREADABLE, fault_of
from vsvfi.errors import ArgumentError
from vsvfi.plan.policy import Facts

__all__ = ["DEFAULT_THRESHOLD", "SCORE", "Facts", "facts", "read"]

DEFAULT_THRESHOLD = 0.4
"""Score, 0 to 1, above which a step is a cut. Tuned on procedural clips, see README.md."""

CUT, DUPLICATE, SCORE = "_vsvfi_cut", "_vsvfi_duplicate", "_vsvfi_cut_score"

_NEXT, _PREVIOUS = "_SceneChangeNext", "_SceneChangePrev"
_POOLED, _BLOCKS, _FULL = "_vsvfi_pooled", "_vsvfi_blocks", "_vsvfi_full"

_CODE = 1 / 255
"""One 8-bit code value on a scale of 0 to 1."""

NEAR = 4
"""Steps before and after a step that show how much a drawing changes when it does."""

_BLOCK = 16
"""Side in pixels of blocks whose mean hardly changes by the errors of an encoder."""

_RESIDUE, _AGAINST = 3.0 * _CODE, 0.4
"""Largest change of a block in a repeated frame of an encode, by itself and against the steps before and after it."""

_WHITE_NOISE = {2: 0.31, 4: 0.17}
"""Remaining amplitude of white noise by downscaling factor."""


def facts(
    clip: vs.VideoNode,
    *,
    scene: str,
    threshold: float | None,
    duplicates: bool = True,
    measure: Measure | None = None,
) -> vs.VideoNode:
    """Return a 1x1 clip as long as `clip` whose frame k holds the facts about the step from frame k to k + 1.

    Decode its frames with `read`. Nothing is known about unreadable frames of `readable.readable(clip)`.

    Args:
        clip: constant format and size: Gray, YUV or RGB, 8 to 16 bit, half or float.
        scene: "auto" (the source's props, measured where they are missing), "props" (only props) or "off" (no cuts).
        threshold: score above which a step is a cut; smaller finds more. None for DEFAULT_THRESHOLD.
        duplicates: False skips the measurement; no step is then a duplicate.
        measure: what else is measured, of `copies`.

    Raises:
        ArgumentError: `scene` has another value.
    """
    if scene not in ("auto", "props", "off"):
        raise ArgumentError("scene", scene, 'must be "auto", "props" or "off"', 'use "auto"')
    limit = DEFAULT_THRESHOLD if threshold is None else threshold
    last = clip.num_frames - 1
    factor = 4 if min(clip.width, clip.height) >= 720 else 2
    blank = clip.std.BlankClip(width=1, height=1, format=vs.GRAY8, keep=True)
    marked = blank.std.CopyFrameProps(clip, props=[_NEXT, _PREVIOUS, UNREADABLE])
    pooled = _pooled(clip, factor)
    statistics = blank.std.CopyFrameProps(cut_score.measured(pooled)).std.CopyFrameProps(clip, props=[UNREADABLE])
    pairs = blank.std.CopyFrameProps(_differences(clip, pooled))
    differences = [_shifted(pairs, offset) for offset in range(-NEAR, NEAR + 1)] if duplicates else []
    more = [] if measure is None else [blank.std.CopyFrameProps(measured(clip, pooled, measure))]
    window = range(-BEFORE, AFTER + 1) if scene == "auto" else range(2) if duplicates else range(0)
    planes = pooled.format.num_planes
    shape = cut_score.structure(pooled)
    # In very small images, shifted ones are alike by chance.
    large = pooled.width >= shape.width and pooled.height * 2 >= shape.height * 3
    shapes = [shape, _shifted(shape, 1)] if scene == "auto" and large else []
    begin = 3 + len(shapes)  # of the frames in the window, which those around a step for duplicates follow

    def measures(n: int, frames: list[vs.VideoFrame]) -> tuple[float, bool, bool]:
        """Score, cut and duplicate of the step from n to n + 1."""
        stated = _stated(frames[1].props, frames[2].props) if scene != "off" else False
        around = {
            n + offset: Statistics.of(frame.props, planes)
            for offset, frame in zip(window, frames[begin:])
            if 0 <= n + offset <= last and fault_of(frame.props) is None
        }
        score = cut_score.score(around, n) if scene == "auto" and n < last else 0.0
        if shapes and score > limit and cut_score.pans(*(np.asarray(frame[0]) for frame in frames[3:5])):
            score = 0.0
        cut = n < last and (score > limit if stated is None else stated)
        compared = n in around and n + 1 in around
        if not duplicates or not compared:
            return score, cut, False
        steps = {
            n + offset: frame.props
            for offset, frame in zip(range(-NEAR, NEAR + 1), frames[begin + len(window) :])
            if 0 <= n + offset < last
        }
        duplicate = _is_duplicate(steps[n], around[n], around[n + 1], _WHITE_NOISE[factor])
        return score, cut, duplicate or _is_repeat(steps, n, planes)

    warn = once(vs.MESSAGE_TYPE_WARNING)

    def judge(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        frames = cast(list[vs.VideoFrame], f)
        try:
            score, cut, duplicate = measures(n, frames)
        except Exception as error:  # not fatal: without facts, frames are interpolated
            warn(f"scene changes and duplicates at source frame {n} cannot be measured ({essential(error)})")
            score, cut, duplicate = 0.0, False, False
        out = frames[0].copy()
        out.props.update({SCORE: score, CUT: int(cut), DUPLICATE: int(duplicate)})
        if measure is not None:
            out.props.update(props_of(measure, frames[-1].props, last - n))
        fault = fault_of(frames[1].props)
        if fault is not None:
            out.props[UNREADABLE] = fault
        return out

    return blank.std.ModifyFrame(
        [
            *(blank, marked, _shifted(marked, 1), *shapes),
            *(_shifted(statistics, offset) for offset in window),
            *(*differences, *more),
        ],
        reporting(judge, "source frame"),
    )


def read(frame: vs.VideoFrame) -> Facts:
    """The facts in a frame of `facts()`."""
    props = frame.props
    apart = cast("float | list[float]", props.get(APART, []))
    return Facts(
        cut=bool(props[CUT]),
        duplicate=bool(props[DUPLICATE]),
        blockiness=float(cast(float, props.get(BLOCKINESS, 0.0))),
        apart=(apart,) if isinstance(apart, float) else tuple(apart),
    )


# --- the graph
# ----------------------------------------------------------------------------------------------------------------------


def _shifted(clip: vs.VideoNode, offset: int) -> vs.VideoNode:
    """Shift the clip: frame n of the result is frame n + offset.

    Beyond the clip's ends it is the nearest frame, or one close to it; the judges ignore those.
    """
    if offset >= 0:
        # Requests past the end are answered with the last frame.
        return clip.std.Trim(first=min(offset, clip.num_frames - 1))
    kept = clip.std.Trim(length=max(1, clip.num_frames + offset))
    return clip.std.Trim(length=1).std.Loop(times=min(-offset, clip.num_frames)) + kept


def _pooled(clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    """Downscale by `factor`, in float, with chroma as large as luma.

    Props are removed, since some would change how the resizer converts.
    """
    family = clip.format.color_family
    plain, width, height = clip.std.RemoveFrameProps(), max(1, clip.width // factor), max(1, clip.height // factor)
    if family == vs.GRAY:
        return plain.resize.Bilinear(width, height, format=vs.GRAYS)
    if family == vs.RGB:
        return plain.resize.Bilinear(width, height, format=vs.YUV444PS, matrix=vs.MATRIX_BT709)
    return plain.resize.Bilinear(width, height, format=vs.YUV444PS)


def _differences(clip: vs.VideoNode, pooled: vs.VideoNode) -> vs.VideoNode:
    """Measure the difference between frames k and k + 1, as props.

    The mean for luma (green of RGB) at full size; mean and peak for every pooled plane, and the peak of averages over
    blocks.
    """
    signed = vs.core.std.Expr([pooled, _shifted(pooled, 1)], "x y -")
    side = _BLOCK * pooled.width // clip.width
    blocks = signed.resize.Bilinear(max(1, pooled.width // side), max(1, pooled.height // side))
    pair, blocks = signed.std.Expr("x abs"), blocks.std.Expr("x abs")
    for plane in range(pooled.format.num_planes):
        pair = pair.std.PlaneStats(plane=plane, prop=f"{_POOLED}{plane}")
        blocks = blocks.std.PlaneStats(plane=plane, prop=f"{_BLOCKS}{plane}")
    pair = pair.std.CopyFrameProps(blocks, props=[f"{_BLOCKS}{plane}Max" for plane in range(pooled.format.num_planes)])
    full = clip.std.PlaneStats(_shifted(clip, 1), plane=1 if clip.format.color_family == vs.RGB else 0, prop=_FULL)
    return pair.std.CopyFrameProps(full, props=[f"{_FULL}Diff"])


# --- the judges
# ----------------------------------------------------------------------------------------------------------------------


def _stated(props: Mapping[str, object], following: Mapping[str, object]) -> bool | None:
    """Whether the source's props mark the step between two frames as a cut, or None if they do not state it."""
    stated = read_integer(props, _NEXT)
    if stated is not None:
        return bool(stated)
    return True if read_integer(following, _PREVIOUS) else None


def _is_duplicate(props: Mapping[str, object], first: Statistics, second: Statistics, white_noise: float) -> bool:
    """Whether two frames differ by noise only.

    Args:
        props: of `_differences`.
        white_noise: remaining amplitude of white noise after pooling.
    """
    planes = range(len(first.means))
    means, peaks = (
        [float(cast(float, props[f"{_POOLED}{plane}{what}"])) for plane in planes] for what in ("Average", "Max")
    )
    if max(means) <= 0.4 * _CODE and max(peaks) <= 2 * _CODE:
        return True
    # Noise is small and even everywhere, of both signs, and mostly removed by pooling; motion is not. Subsampled chroma
    # is pooled less, so more of its noise remains.
    gains = (1.0, 0.5, 0.5)
    grainy = means[0] <= 1.5 * white_noise * float(cast(float, props[f"{_FULL}Diff"]))
    small = max(mean * gain for mean, gain in zip(means, gains)) <= 1.5 * _CODE
    even = all(
        peak * gain <= max(2 * _CODE, min(7 * mean * gain, 8 * _CODE)) for mean, peak, gain in zip(means, peaks, gains)
    )
    balanced = all(
        abs(a - b) <= max(0.25 * mean, 0.1 * _CODE) for a, b, mean in zip(first.means, second.means, means, strict=True)
    )
    return grainy and small and even and balanced


def _is_repeat(steps: Mapping[int, Mapping[str, object]], k: int, planes: int) -> bool:
    """Whether frame k + 1 repeats frame k but for what an encoder left, as drawings that are held do.

    Encoders go on refining a held drawing, here and there by many codes, but hardly change the mean of a block, while
    the steps before and after the hold do.

    Args:
        steps: props of `_differences`, of the steps k - NEAR to k + NEAR inside the clip.
        planes: how many there are.
    """

    def largest(step: int, name: str, what: str) -> float:
        return max(float(cast(float, steps[step][f"{name}{plane}{what}"])) for plane in range(planes))

    change = largest(k, _BLOCKS, "Max")
    if change > _RESIDUE or largest(k, _POOLED, "Average") > 0.4 * _CODE:
        return False
    sides = [range(k - NEAR, k), range(k + 1, k + NEAR + 1)]
    whole = [side for side in sides if side[0] in steps and side[-1] in steps] or [range(k - NEAR, k + NEAR + 1)]
    usual = min(max(largest(step, _BLOCKS, "Max") for step in side if step in steps) for side in whole)
    return change <= _AGAINST * usual
