"""Find overlays (subtitles, logos, HUDs, credits that stand still) by their edges, which persist over moving footage.

For every source frame a mask is measured by VapourSynth's own filters, from that frame, the `WINDOW` frames before it
and the `WINDOW` frames after it, never from earlier requests:

1. Edges that stay: every frame of a window has most of the mean gradient at a pixel, and luma there changes by less
   than a slow movement of such an edge would change it. Edges of moving things turn, fade or leave. This holds for
   half-transparent overlays too, since the gradients of what moves behind them average out.
2. Edges in all directions nearby: letters have them, a horizon that moves along itself does not.
3. Motion around: texture that does not stay, on a grid of a quarter of the size, where grain is pooled away. An overlay
   has it on every side but those where a black bar is; a still background beside motion does not. The border of a bar
   is no edge of an overlay.
4. From such sure places along edges that stay, where something moves nearby; then small gaps, and pixels nearby whose
   values stay.

An overlay that appears or disappears is found from its first to its last frame, since the window may be on either side.
"""

from __future__ import annotations

import vapoursynth as vs

from vsvfi.clip.select import shifted

WINDOW = 6
"""Frames compared before and after a frame; an overlay must last at least one frame longer."""

_EDGE = 0.03
"""Weakest edge of an overlay: change of luma per pixel, on a scale of 0 to 1."""

_STEADY = 0.7
"""Share of the mean gradient that every frame of the window must have."""

_SHIFT = 0.6
"""Pixels by which an edge may seem to move over the window: half-transparent overlays change with their ground."""

_LINKS = 10
"""How often edges next to accepted ones are added, 8 pixels further each time."""

_DENSE = 0.04
"""Least share of mostly vertical edges, and of mostly horizontal ones, in a square of 17 pixels."""

_RESTLESS = 0.004
"""Texture that does not stay, per pixel of the quarter-size image: above the grain that pooling leaves."""

_TURNING = 0.06
"""Share of a gradient's mean length that is lost in the mean of its vectors: less for slow motion."""

_SHARE = 0.06
"""Share of a square beside a pixel that must move."""

_AROUND = 0.04
"""The same on every side of an overlay."""

_BLACK = 0.08
"""Brightest luma of a black bar."""

_BARRED = 0.3
"""Share of a square beside a pixel that is part of a black bar, where nothing needs to move."""

_CODE = 1 / 255

_HORIZONTAL, _VERTICAL = [-1, 0, 1, -2, 0, 2, -1, 0, 1], [-1, -2, -1, 0, 0, 0, 1, 2, 1]
"""Sobel's kernels."""


def overlay_masks(clip: vs.VideoNode) -> vs.VideoNode:
    """Return a GRAY8 clip of the same size and length: 255 where frame k shows an overlay, else 0."""
    luma = _luma(clip)
    across, down = _gradients(luma)
    mean_across, mean_down = _ahead(across), _ahead(down)
    lowest = _lowest_projection(across, down, mean_across, mean_down)
    moved = _change(luma)
    bars = _bars(luma)
    edges = vs.core.std.Expr(
        [mean_across, mean_down, lowest, moved, _rim(bars)],
        f"x dup * y dup * + sqrt {_EDGE} > z {_STEADY} > and a x dup * y dup * + sqrt {_SHIFT} * < and b 0.5 < and "
        "1 0 ?",
    )
    # Letters have edges in all directions; what moves along its own edge, like a horizon, has them in one.
    upright, level = (
        _quarter(vs.core.std.Expr([edges, one, other], "x y abs z abs > and 1 0 ?")).std.BoxBlur(hradius=2, vradius=2)
        for one, other in ((mean_across, mean_down), (mean_down, mean_across))
    )
    moving, surrounded = _motion(luma, _quarter(bars))
    there = vs.core.std.Expr([_quarter(edges), moving], f"x {_DENSE} > y {_SHARE} > and 1 0 ?")
    seeds = vs.core.std.Expr(
        [there, upright, level, surrounded], f"x y {_DENSE} > and z {_DENSE} > and a 0.5 > and 1 0 ?"
    )
    for _ in range(_LINKS):  # the rest of a line whose other parts are sure
        seeds = vs.core.std.Expr([there, _grown(seeds, 2)], "x y min")
    region = _grown(seeds, 1).resize.Bilinear(luma.width, luma.height)
    edges = vs.core.std.Expr([edges, region], "x y 0.5 > and 1 0 ?")
    filled = _grown(edges, 3).std.Minimum().std.Minimum()
    inside = vs.core.std.Expr([region, _still(luma)], f"x 0.5 > y {2 * _CODE} < and 1 0 ?")
    following = vs.core.std.Expr([filled, inside], "x y max 0.5 > 255 0 ?", format=vs.GRAY8)
    # `following` looks ahead; the same shifted by the window looks back.
    return vs.core.std.Expr([following, shifted(following, -WINDOW)], "x y max")


def step_masks(masks: vs.VideoNode) -> vs.VideoNode:
    """Return what stays between frames k and k + 1, from `overlay_masks`: 255 or 0 in GRAY8.

    Where both show an overlay, and where a whole one appears or disappears: no part of it is in both.
    """
    following = shifted(masks, 1)
    both = vs.core.std.Expr([masks, following], "x y min")
    either = vs.core.std.Expr([masks, following], "x y max")
    near = _grown(both, 2 * _reach(masks))
    return vs.core.std.Expr([both, either, near], "z y and 0 > x y ? z 0 > x y ? min y min")


def _luma(clip: vs.VideoNode) -> vs.VideoNode:
    """Luma in 0 to 1, without props that would change conversions."""
    plain = clip.std.RemoveFrameProps()
    if clip.format.color_family == vs.RGB:
        return plain.resize.Bilinear(format=vs.GRAYS, matrix=vs.MATRIX_BT709)
    grey = plain if clip.format.color_family == vs.GRAY else plain.std.ShufflePlanes(0, vs.GRAY)
    return grey.resize.Bilinear(format=vs.GRAYS)


def _gradients(luma: vs.VideoNode) -> tuple[vs.VideoNode, vs.VideoNode]:
    """Change of luma per pixel, across and down."""
    return luma.std.Convolution(_HORIZONTAL, divisor=8), luma.std.Convolution(_VERTICAL, divisor=8)


def _lowest_projection(
    across: vs.VideoNode, down: vs.VideoNode, mean_across: vs.VideoNode, mean_down: vs.VideoNode
) -> vs.VideoNode:
    """The least part of the mean gradient that any of the frames k to k + WINDOW has."""
    names = "xyzabcdefghijklmnopqrstuvw"
    frames = range(WINDOW + 1)
    inputs = [shifted(clip, offset) for clip in (across, down) for offset in frames] + [mean_across, mean_down]
    first, second = names[len(inputs) - 2], names[len(inputs) - 1]
    terms = [f"{names[k]} {first} * {names[k + WINDOW + 1]} {second} * +" for k in frames]
    lowest = " ".join(terms) + " min" * WINDOW
    return vs.core.std.Expr(inputs, f"{lowest} {first} dup * {second} dup * + 1e-8 + /")


def _change(luma: vs.VideoNode) -> vs.VideoNode:
    """The largest difference of frame k from the frames in the middle and at the end of the window."""
    return vs.core.std.Expr([luma, shifted(luma, WINDOW // 2), shifted(luma, WINDOW)], "x y - abs x z - abs max")


def _motion(luma: vs.VideoNode, bars: vs.VideoNode) -> tuple[vs.VideoNode, vs.VideoNode]:
    """At a quarter of the size: how much moves in a square around each pixel, and how much has motion on every side.

    Both are shares of pixels; `bars` are black bars at a quarter of the size, where nothing moves.
    """
    small = _quarter(luma)
    across, down = _gradients(small)
    length = vs.core.std.Expr([across, down], "x dup * y dup * + sqrt")
    half = vs.core.std.Expr(
        [_ahead(measure, WINDOW // 2) for measure in (length, across, down)],
        f"x y dup * z dup * + sqrt - x {_TURNING} * {_RESTLESS} max > 1 0 ?",
    )
    # In both halves of the window: what appears or disappears once does not move.
    moving = vs.core.std.Expr([half, shifted(half, WINDOW // 2)], "x y min")
    radius = max(3, min(small.width, small.height) // 8)
    share = moving.std.BoxBlur(hradius=radius, vradius=radius)
    barred = bars.std.BoxBlur(hradius=radius, vradius=radius)
    alive = vs.core.std.Expr([share, barred], f"x {_AROUND} > y {_BARRED} > or 1 0 ?")
    sides = [_moved(alive, *(2 * radius * step for step in side)) for side in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    count = vs.core.std.Expr(sides, "x y min z a min min")
    return share, count.std.BoxBlur(hradius=radius, vradius=radius)  # a flat patch in what moves does not count


def _bars(luma: vs.VideoNode) -> vs.VideoNode:
    """Black bars along the borders of the image: 1 inside, else 0."""
    dark = vs.core.std.Expr(_ahead(luma), f"x {_BLACK} < 1 0 ?")
    upper = _bar(dark.resize.Bilinear(1, luma.height))
    lower = _bar(dark.resize.Bilinear(1, luma.height).std.FlipVertical()).std.FlipVertical()
    left = _bar(dark.resize.Bilinear(luma.width, 1).std.Transpose()).std.Transpose()
    right = _bar(dark.resize.Bilinear(luma.width, 1).std.Transpose().std.FlipVertical()).std.FlipVertical()
    lines = [line.resize.Point(luma.width, luma.height) for line in (upper, lower, left, right.std.Transpose())]
    return vs.core.std.Expr(lines, "x y max z a max max")


def _bar(shares: vs.VideoNode) -> vs.VideoNode:
    """Which lines from the first one on belong to a bar, from the shares of their pixels that are black.

    A bar is black from end to end in its first line, and may carry text in others.
    """
    first = shares.std.Crop(bottom=shares.height - 1).resize.Point(1, shares.height)
    bar = vs.core.std.Expr([shares, first], "x 0.5 > y 0.97 > and 1 0 ?")
    step = 1
    while step < shares.height:  # no line beyond one that is none
        before = bar.std.Crop(bottom=step).std.AddBorders(top=step, color=1)
        bar, step = vs.core.std.Expr([bar, before], "x y min"), 2 * step
    return bar


def _rim(bars: vs.VideoNode) -> vs.VideoNode:
    """Where a bar meets the picture: 1 there, as far as gradients reach, else 0."""
    thin = bars.std.Minimum().std.Minimum()
    return vs.core.std.Expr([_grown(bars, 2), thin], "x y -")


def _still(luma: vs.VideoNode) -> vs.VideoNode:
    """The mean change from frame to frame over the frames k to k + WINDOW, grain averaged out."""
    soft = luma.std.BoxBlur(hradius=2, vradius=2)
    return _ahead(vs.core.std.Expr([soft, shifted(soft, 1)], "x y - abs"))


def _ahead(measure: vs.VideoNode, frames: int = WINDOW) -> vs.VideoNode:
    """The mean of the frames k to k + frames."""
    return measure.std.AverageFrames([0] * frames + [1] * (frames + 1))


def _grown(mask: vs.VideoNode, pixels: int) -> vs.VideoNode:
    for _ in range(pixels):
        mask = mask.std.Maximum()
    return mask


def _moved(clip: vs.VideoNode, right: int, down: int) -> vs.VideoNode:
    """The image as seen `right` and `down` pixels further, repeated beyond its borders."""
    return clip.resize.Point(src_left=right, src_top=down)


def _quarter(clip: vs.VideoNode) -> vs.VideoNode:
    """A quarter of the size, averaged."""
    return clip.resize.Bilinear(max(1, clip.width // 4), max(1, clip.height // 4))


def _reach(clip: vs.VideoNode) -> int:
    """Pixels from the edge of an overlay to the inside of its strokes."""
    return max(3, min(clip.width, clip.height) // 90)
