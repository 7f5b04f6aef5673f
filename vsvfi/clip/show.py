"""A preview that draws on each output frame what was decided about it, for editors and vspreview."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Unpack, cast

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from vsvfi.clip import decisions, scenes
from vsvfi.clip.colour import Colour
from vsvfi.clip.failures import reporting
from vsvfi.clip.graph import Interpolated, interpolate_with_config
from vsvfi.options import Arguments
from vsvfi.plan.timeline import Copy, CrossFade, Decision

COLOURS = {"source": (40, 200, 60), "interpolated": (240, 150, 20), "held": (70, 120, 255), "faded": (230, 60, 200)}
"""Colour of a frame's border: shown as it is in the source, computed, repeated between source frames, cross-faded."""

_BLOCK, _SEARCH = 16, 12
"""Side of a block in pixels of the small image, and reach of the search for its motion in pixels of half its size."""

_SMALL = 240
"""Height of the image in which motion is looked for."""

type Pixels = NDArray[np.uint8]


def show(clip: vs.VideoNode, **arguments: Unpack[Arguments]) -> vs.VideoNode:
    """Interpolate, and draw on each frame what was decided.

    The border says whether a frame is shown as it is in the source (green), computed (orange), repeated between source
    frames (blue: a scene change, a duplicate or an excluded range) or cross-faded (purple). The text gives the source
    frames, the timestep, the score and the decision of the scene detection, and duplicates. Arrows show the motion
    from the source frame before to the one after, found by block matching and not by the model; the outline is the
    mask's.

    Args:
        clip, arguments: as of `interpolate()`.

    Returns:
        A clip in RGB24 of the same size, length and rate as that of `interpolate()`.

    Raises:
        vapoursynth.Error: as `interpolate()`.
    """
    made = interpolate_with_config(clip, **arguments)
    rgb = Colour(made.clip, vs.RGBS, None).to_rgb(made.clip).resize.Point(format=vs.RGB24)
    rgb = rgb.std.CopyFrameProps(made.clip, props=["_Primaries", "_Transfer"])  # what the pixels are still coded in
    drawn = _drawn(rgb, clip, made)

    def label(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoNode:
        plan, facts = cast(list[vs.VideoFrame], f)
        return drawn.text.Text(described(n, decisions.shown(plan), facts), alignment=7)

    return drawn.std.FrameEval(reporting(label), prop_src=[made.plan, made.align.shown(made.facts)], clip_src=drawn)


def described(n: int, decision: Decision, facts: vs.VideoFrame) -> str:
    """The text on output frame n."""
    known = scenes.read(facts)
    score = float(cast(float, facts.props[scenes.SCORE]))
    lines = [f"output {n}"]
    if isinstance(decision, Copy):
        lines.append(f"source {decision.frame}")
    else:
        kind = "cross-fade" if isinstance(decision, CrossFade) else "interpolated"
        lines.append(f"{kind} {decision.first} to {decision.second}, t = {decision.t}")
    lines.append(f"cut score {score:.2f}{', cut' if known.cut else ''}")
    if known.duplicate:
        lines.append("the next frame is a duplicate")
    return "\n".join(lines)


def _drawn(rgb: vs.VideoNode, clip: vs.VideoNode, made: Interpolated) -> vs.VideoNode:
    """Borders, outlines and arrows."""
    height = min(_SMALL, clip.height)
    width = max(1, round(clip.width * height / clip.height))
    plain = clip.std.RemoveFrameProps()
    grey = plain if clip.format.color_family == vs.RGB else plain.std.ShufflePlanes(0, vs.GRAY)
    matrix = {"matrix": vs.MATRIX_BT709} if clip.format.color_family == vs.RGB else {}
    small = grey.resize.Bilinear(width, height, format=vs.GRAY8, **matrix)
    inputs = [rgb, made.plan, made.align.first(small), made.align.second(small)]
    if made.kept is not None:
        inputs.append(made.kept)

    def draw(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        base, plan, first, second, *masks = cast(list[vs.VideoFrame], f)
        out, decision = base.copy(), decisions.shown(plan)
        planes = [cast(Pixels, np.asarray(out[plane])) for plane in range(3)]
        if not isinstance(decision, Copy):
            if masks:
                _outline(planes, np.asarray(masks[0][0]))
            _arrows(planes, np.asarray(first[0]), np.asarray(second[0]))
        _border(planes, COLOURS[_kind(decision, on_source=decisions.timing(plan).on_source)])
        return out

    return rgb.std.ModifyFrame(inputs, reporting(draw))


def _kind(decision: Decision, *, on_source: bool) -> str:
    if isinstance(decision, Copy):
        return "source" if on_source else "held"
    return "faded" if isinstance(decision, CrossFade) else "interpolated"


def _border(planes: list[Pixels], colour: tuple[int, int, int]) -> None:
    width = max(2, planes[0].shape[0] // 120)
    for plane, level in zip(planes, colour, strict=True):
        plane[:width] = plane[-width:] = level
        plane[:, :width] = plane[:, -width:] = level


def _outline(planes: list[Pixels], mask: NDArray[Any]) -> None:
    """Red where the mask begins."""
    inside = mask > mask.dtype.type(0)
    edge = np.zeros_like(inside)
    edge[1:] |= inside[1:] != inside[:-1]
    edge[:, 1:] |= inside[:, 1:] != inside[:, :-1]
    for plane, level in zip(planes, (255, 0, 0), strict=True):
        plane[edge] = level


def block_motion(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.int64]:
    """Motion of each block from the first image to the second: [rows, columns, 2], down and right, in pixels."""
    rows, columns = (side // _BLOCK for side in first.shape)
    still = np.zeros((rows, columns, 2), np.int64)
    if not still.size:
        return still
    inside, after = first[: rows * _BLOCK, : columns * _BLOCK].astype(np.float32), second.astype(np.float32)
    near = 2 * _searched(_halved(inside), _halved(after), _BLOCK // 2)
    y, x = np.arange(inside.shape[0])[:, None], np.arange(inside.shape[1])
    best, motion = np.full((rows, columns), np.inf, np.float32), still
    for there in (still, *(near + step for step in _steps(1))):
        moved = there.repeat(_BLOCK, 0).repeat(_BLOCK, 1)
        down, right = (np.clip(y + moved[..., 0], 0, len(after) - 1), np.clip(x + moved[..., 1], 0, len(after[0]) - 1))
        cost = _per_block(inside - after[down, right], _BLOCK)
        better = cost < best - _BLOCK * _BLOCK / 4  # noise alone makes no arrows
        best, motion = np.where(better, cost, best), np.where(better[..., None], there, motion)
    return motion


def _searched(first: NDArray[np.float32], second: NDArray[np.float32], side: int) -> NDArray[np.int64]:
    """The motion of each block of `side` pixels, by trying all."""
    padded = np.pad(second, _SEARCH, mode="edge")
    best = np.full([length // side for length in first.shape], np.inf, np.float32)
    motion = np.zeros((*best.shape, 2), np.int64)
    for down, right in _steps(_SEARCH):
        there = padded[_SEARCH + down :, _SEARCH + right :][: first.shape[0], : first.shape[1]]
        cost = _per_block(first - there, side)
        better = cost < best
        best[better], motion[better] = cost[better], (down, right)
    return motion


def _steps(reach: int) -> list[tuple[int, int]]:
    """Every step down and right, small ones first."""
    steps = [(down, right) for down in range(-reach, reach + 1) for right in range(-reach, reach + 1)]
    return sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2)


def _per_block(difference: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    rows, columns = (length // side for length in difference.shape)
    return np.abs(difference).reshape(rows, side, columns, side).sum((1, 3))


def _halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = (length // 2 for length in image.shape)
    return image[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))


def _arrows(planes: list[Pixels], first: NDArray[Any], second: NDArray[Any]) -> None:
    motion = block_motion(first, second)
    scale = Fraction(planes[0].shape[0], first.shape[0])
    for row, column in np.argwhere(motion.any(-1)):
        begin = np.array([row + 0.5, column + 0.5]) * _BLOCK * float(scale)
        end = begin + motion[row, column] * float(scale)
        _line(planes, begin, end)
        _line(planes, end - 1, end + 1)  # its head


def _line(planes: list[Pixels], begin: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    """A yellow line."""
    count = int(np.abs(end - begin).max()) + 2
    points = np.rint(np.linspace(begin, end, count)).astype(np.int64)
    points = np.clip(points, 0, np.array(planes[0].shape) - 1)
    for plane, level in zip(planes, (255, 235, 0), strict=True):
        plane[points[:, 0], points[:, 1]] = level
