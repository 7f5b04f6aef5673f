"""Measure what decides between copies of one drawing, and what finds dropped frames, as props.

VapourSynth's own filters measure; only a few numbers per frame reach Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import numpy as np
import vapoursynth as vs

from vsvfi.clip.select import shifted
from vsvfi.plan.repair import LONGEST_FAULT

type Measure = Literal["blockiness", "apart"]

_BLOCKINESS, _APART = "_vsvfi_blockiness", "_vsvfi_apart"
BLOCKINESS, APART = "_vsvfi_copy_blockiness", "_vsvfi_frames_apart"
"""Props of the facts: of frame k, and from frame k to the next ones."""

_BLOCK = 8
"""Side of the blocks that encoders transform."""


def measured(clip: vs.VideoNode, pooled: vs.VideoNode, measure: Measure) -> vs.VideoNode:
    """Measure each frame of a clip, as props that `props_of` reads.

    Args:
        clip: any format.
        pooled: the same, downscaled, in float.
        measure: "blockiness" (how much stronger gradients are at the borders of blocks), or "apart" (mean squared
            differences of luma from the next frames).
    """
    if measure == "blockiness":
        return _blockiness(clip)
    luma = pooled.std.ShufflePlanes(0, vs.GRAY)
    out = luma
    for distance in range(1, LONGEST_FAULT + 1):
        name = f"{_APART}{distance}"
        change = vs.core.std.Expr([luma, shifted(luma, distance)], "x y - dup *").std.PlaneStats(prop=name)
        out = out.std.CopyFrameProps(change, props=[f"{name}Average"])
    return out


def props_of(measure: Measure, props: Mapping[str, object], following: int) -> dict[str, float | list[float]]:
    """The props of the facts about a frame, from a frame of `measured` and the number of frames that follow it."""
    if measure == "blockiness":
        return {BLOCKINESS: sum(float(cast(float, props[f"{_BLOCKINESS}{axis}Average"])) for axis in "hv")}
    distances = range(1, min(LONGEST_FAULT, following) + 1)
    return {APART: [float(cast(float, props[f"{_APART}{distance}Average"])) for distance in distances]}


def _blockiness(clip: vs.VideoNode) -> vs.VideoNode:
    """Mean gradient across the borders of blocks, less the mean gradient elsewhere; luma (green of RGB)."""
    plain = clip.std.RemoveFrameProps().std.ShufflePlanes(1 if clip.format.color_family == vs.RGB else 0, vs.GRAY)
    plain = plain.std.SetFrameProps(_Range=0) if clip.format.sample_type == vs.INTEGER else plain
    luma = plain.resize.Point(format=vs.GRAYS)
    out = luma
    for mode in "hv":
        size = luma.width if mode == "h" else luma.height
        weights = np.full(size, -1.0, np.float32)
        weights[_BLOCK - 1 : size - 1 : _BLOCK] = _BLOCK - 1
        gradient = luma.std.Convolution([0, -1, 1], divisor=1, mode=mode)
        mask = _constant(luma, weights.reshape((1, size) if mode == "h" else (size, 1)))
        name = f"{_BLOCKINESS}{mode}"
        weighted = vs.core.std.Expr([gradient, mask], "x abs y *").std.PlaneStats(prop=name)
        out = out.std.CopyFrameProps(weighted, props=[f"{name}Average"])
    return out


def _constant(like: vs.VideoNode, line: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> vs.VideoNode:
    """A clip whose frames all repeat a line, [1, width] or [height, 1]."""
    blank = like.std.BlankClip(length=1, keep=True)

    def fill(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        out = cast(vs.VideoFrame, f).copy()
        np.asarray(out[0])[:] = line
        return out

    return blank.std.ModifyFrame(blank, fill).std.Loop(like.num_frames)
