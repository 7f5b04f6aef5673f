"""Score how much the step between two frames looks like a scene change, from numbers about small images.

`measured` and `structure` are graphs of VapourSynth's own filters, `score` and `pans` are the judges. README.md
explains the measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import cast

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from vsvfi.clip.select import shifted

BEFORE, AFTER = 4, 5
"""The step from k to k + 1 is judged from frames k - BEFORE .. k + AFTER, so flashes of up to 4 frames are no cuts."""

_MEAN, _ENERGY, _CHANGE, _OWN, _COMMON = (
    "_vsvfi_mean",
    "_vsvfi_energy",
    "_vsvfi_change",
    "_vsvfi_structure",
    "_vsvfi_common",
)

_WIDTH, _HEIGHT = 64, 24
"""Size at which cuts are measured, on the middle two thirds of the height to exclude letterbox bars and subtitles."""

_CHROMA_GAIN = 2.0

_FAINT = 0.01
"""Local contrast below which structure fades out."""

_SAME, _OTHER = 0.45, 0.25
"""Correlation of structure above which two images show the same thing, and below which they do not."""

_LEAST = 0.05
"""What a change of light counts."""

_STEADY = 0.35
"""The least correlation of structure in the steps around one that alone breaks it."""

_DROP = 0.2
"""How much lower it must be in that one: grain lowers it in all."""

_ALIGNED = 0.5
"""Correlation of structure, after a shift, above which the camera only moved; unrelated images reach 0.36."""

_FAR, _HIGH = 40, 4
"""Largest shift that is tried, in pixels of the small image, across and down."""


# --- the graph
# ----------------------------------------------------------------------------------------------------------------------


def measured(pooled: vs.VideoNode) -> vs.VideoNode:
    """Measure the plane means and mean square of frame k, and how it differs from later frames, as props.

    The later frames are k + 1 .. k + AFTER; differences are mean squares, and mean products of structure.
    """
    small, shape = _small(pooled), structure(pooled)
    for plane in range(pooled.format.num_planes):
        small = small.std.PlaneStats(plane=plane, prop=f"{_MEAN}{plane}")
    if pooled.format.num_planes == 3:
        small = small.std.Expr(["", f"x {_CHROMA_GAIN} *", f"x {_CHROMA_GAIN} *"])
        small = vs.core.std.StackVertical(small.std.SplitPlanes())
    measured = small.std.Expr("x dup *").std.PlaneStats(prop=_ENERGY)
    own = shape.std.Expr("x dup *").std.PlaneStats(prop=_OWN)
    measured = measured.std.CopyFrameProps(own, props=[f"{_OWN}Average"])
    for distance in range(1, AFTER + 1):
        for clip, name, expression in ((small, _CHANGE, "x y - dup *"), (shape, _COMMON, "x y *")):
            pair = vs.core.std.Expr([clip, shifted(clip, distance)], expression)
            pair = pair.std.PlaneStats(prop=f"{name}{distance}")
            measured = measured.std.CopyFrameProps(pair, props=[f"{name}{distance}Average"])
    return measured


def structure(pooled: vs.VideoNode) -> vs.VideoNode:
    """Small luma relative to the mean and contrast around each pixel, so that light on a part changes nothing."""
    luma = _small(pooled).std.ShufflePlanes(0, vs.GRAY)
    detail = vs.core.std.Expr([luma, luma.std.BoxBlur(hradius=2, vradius=2)], "x y -")
    power = detail.std.Expr("x dup *").std.BoxBlur(hradius=2, vradius=2)
    return vs.core.std.Expr([detail, power], f"x y {_FAINT**2} + sqrt /")


def _small(pooled: vs.VideoNode) -> vs.VideoNode:
    return pooled.resize.Bilinear(_WIDTH, _HEIGHT, src_top=pooled.height / 6, src_height=pooled.height * 2 / 3)


# --- the judges
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Statistics:
    """Numbers about one small frame: sums over its planes.

    Attributes:
        means: of each plane.
        variance: of the image around those means.
        changes: mean squared difference from the frames 1, 2 .. AFTER later.
        structure: mean square of the structure.
        common: mean product of the structure with that of the frames 1, 2 .. AFTER later.
    """

    means: tuple[float, ...]
    variance: float
    changes: tuple[float, ...]
    structure: float
    common: tuple[float, ...]

    @classmethod
    def of(cls, props: Mapping[str, object], planes: int) -> Statistics:
        def number(name: str) -> float:
            return float(cast(float, props[f"{name}Average"]))

        gains = (1.0, _CHROMA_GAIN, _CHROMA_GAIN)
        means = tuple(number(f"{_MEAN}{plane}") * gains[plane] for plane in range(planes))
        # The planes are stacked, an average over the stack is 1 / planes of the sum of their averages.
        variance = number(_ENERGY) * planes - sum(mean * mean for mean in means)
        return cls(
            means,
            max(variance, 0.0),
            tuple(number(f"{_CHANGE}{distance}") * planes for distance in range(1, AFTER + 1)),
            number(_OWN),
            tuple(number(f"{_COMMON}{distance}") for distance in range(1, AFTER + 1)),
        )


def score(around: Mapping[int, Statistics], k: int) -> float:
    """How much the step from k to k + 1 looks like a cut, 0 to 1.

    Args:
        around: the frames k - BEFORE .. k + AFTER, where they exist and can be read.
    """
    strongest = max((around[i].variance for i in range(k - 3, k + 5) if i in around), default=0.0)

    def apart(i: int, distance: int) -> tuple[float, float]:
        """Squared difference of the means of frames i and i + distance, and mean squared difference around them."""
        first, second = around[i], around[i + distance]
        level = sum((a - b) ** 2 for a, b in zip(first.means, second.means, strict=True))
        return level, max(first.changes[distance - 1] - level, 0.0)

    def step(i: int, otherness: float = 1.0) -> float:
        """How much changes from frame i to i + 1: 0 for nothing, 1 for unrelated frames, -1 outside the clip.

        Args:
            otherness: weight of what changes around the means.
        """
        if i not in around or i + 1 not in around:
            return -1.0
        level, varying = apart(i, 1)
        first, second = around[i].variance, around[i + 1].variance
        # The last step of a fade changes all remaining contrast: if one frame is nearly blank, compare with
        # the strongest one nearby.
        blank = 1 - min(first, second) / max(first, second, 1e-9)
        # Changes of overall brightness and colour have little weight, and small ones hardly any.
        shift = 0.05 * level * level / (level + 0.05)
        return min((varying * otherness + shift) / (max(first + second, blank * strongest) + shift + 1e-4), 1.0)

    def unlike(i: int, distance: int) -> float:
        """Contrast-invariant dissimilarity of frames i and i + distance.

        0 for the same content, 1 for unrelated content and outside the clip.
        """
        if i not in around or i + distance not in around:
            return 1.0
        level, varying = apart(i, distance)
        first, second = around[i].variance, around[i + distance].variance
        alike = (first + second - varying) / 2 / (sqrt(first * second) + 1e-5)
        return 1 - alike * 0.5 / (level + 0.5)

    def broken(i: int) -> float:
        """The same as `step`, but little where light falls on parts of the picture: that keeps the structure.

        A jump of the means that dwarfs the contrast counts in full: faint structure that stays does not outweigh it.
        """
        return step(i, _otherness(_correlation(around, i, 1)))

    if step(k) < 0.1:
        return 0.0
    changed = broken(k)
    # After a flash, or where one ends, an earlier image returns: that is no cut.
    for distance in range(1, AFTER + 1):
        changed = min(changed, unlike(k, distance), unlike(k + 1 - distance, distance))

    # Fast motion changes frames on both sides of the step, or for several steps on one side.
    steps = {offset: broken(k + offset) for offset in range(-3, 4)}

    def both(distance: int) -> float:
        before, after = steps[-distance], steps[distance]
        return max(before, after) if min(before, after) < 0 else min(before, after)

    usual = max(both(1), both(2), min(steps[1], steps[2]), min(steps[-1], steps[-2]), 0.0)
    if max(steps[-2], steps[-1], steps[1], steps[2]) < 0.25 * both(3):  # drawings held for three frames
        usual = max(usual, both(3))

    # But motion changes the mean colours at a steady rate, so a jump in them is a cut even within fast motion.
    def level(i: int) -> float:
        return apart(i, 1)[0] if i in around and i + 1 in around else 0.0

    jump = level(k) - 2 * max(level(k + offset) for offset in (-2, -1, 1, 2))
    usual *= 1 - max(jump, 0.0) / (level(k) + 0.3 * strongest + 1e-4)
    score = max((changed - usual) / (1.2 - usual), 0.0)
    flashes = max(step(k + offset) for offset in (-2, -1, 1, 2)) > 0.1
    return min(max(score, _break(around, k) if flashes else 0.0), 1.0)


def _correlation(around: Mapping[int, Statistics], i: int, distance: int) -> float | None:
    """Of the structure of frames i and i + distance: 1 for the same, around 0 for unrelated ones; None if unknown."""
    if i not in around or i + distance not in around:
        return None
    size = sqrt(around[i].structure * around[i + distance].structure + 1e-6)
    return around[i].common[distance - 1] / size


def _otherness(correlation: float | None) -> float:
    """Little for images that show the same thing in whatever light, 1 for others."""
    return 1.0 if correlation is None else min(max((_SAME - correlation) / (_SAME - _OTHER), _LEAST), 1.0)


def _break(around: Mapping[int, Statistics], k: int) -> float:
    """How much the step from k to k + 1 alone breaks the structure, 0 to 1: a cut among flashes."""
    near = [_correlation(around, k + offset, 1) for offset in (-3, -2, -1, 1, 2, 3)]
    known = [value for value in near if value is not None]
    own = _correlation(around, k, 1)
    if own is None or len(known) < len(near) - 1 or min(known) < max(_STEADY, own + _DROP):
        return 0.0
    returns = [(k, distance) for distance in range(1, AFTER + 1)]
    returns += [(k + 1 - distance, distance) for distance in range(2, AFTER + 1)]
    return min(_otherness(_correlation(around, i, distance)) for i, distance in returns)


def pans(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """Whether the structure of two frames is the same only after a shift: the camera moved."""
    if _aligned(first, second, 0, 0):
        return False
    shifts = ((down, right) for down in range(-_HIGH, _HIGH + 1) for right in range(-_FAR, _FAR + 1))
    return any(_aligned(first, second, down, right) for down, right in shifts)


def _aligned(first: NDArray[np.float32], second: NDArray[np.float32], down: int, right: int) -> bool:
    one = first[max(0, down) : _HEIGHT + min(0, down), max(0, right) : _WIDTH + min(0, right)]
    other = second[max(0, -down) : _HEIGHT - max(0, down), max(0, -right) : _WIDTH - max(0, right)]
    size = float((one * one).sum() * (other * other).sum())
    return float((one * other).sum()) > _ALIGNED * sqrt(size) + 1e-3
