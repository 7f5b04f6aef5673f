"""A clip whose frames are images in files of their own, for scripts inside vspipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import vapoursynth as vs

from vsvfi.clip.alpha import ALPHA
from vsvfi.clip.failures import reporting
from vsvfi.media.image_planes import Planes, read_planes
from vsvfi.media.pixels import parse

_MOST_READERS = 8
_SRGB, _LINEAR, _BT709_PRIMARIES, _RGB_MATRIX = 13, 8, 1, 0
_CENTRE = 1
"""Location of chroma in JPEG."""

_FAMILIES = {"rgb": vs.RGB, "yuv": vs.YUV, "gray": vs.GRAY}


def open_images(files: Sequence[str], pixels: str) -> vs.VideoNode:
    """Return a clip with an image per frame.

    Images of floating-point samples are linear light; they become sRGB of 16 bits, values above 1 are clipped.

    Args:
        files: of the images.
        pixels: format that they are converted to, see `vsvfi.media.image_sequence.common_format`.

    Raises:
        vapoursynth.Error: the first one cannot be read.
    """
    core = vs.core.core
    paths = [Path(file) for file in files]
    first = read_planes(paths[0], pixels)
    height, width = first.colour[0].shape
    blank = core.std.BlankClip(width=width, height=height, format=_format(pixels), length=len(paths), keep=True)

    def read(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        planes = read_planes(paths[n], pixels)
        if planes.colour[0].shape != (height, width):
            found = planes.colour[0].shape
            raise vs.Error(f"{paths[n]} has {found[1]}x{found[0]} pixels instead of {width}x{height}")
        return _frame(f, planes)

    # One node reads one image at a time, so several take turns.
    readers = [
        blank.std.ModifyFrame(blank, reporting(read, "source frame"))
        for _ in range(min(core.num_threads, _MOST_READERS, len(paths)))
    ]
    clip = blank.std.FrameEval(lambda n: readers[n % len(readers)], clip_src=readers)
    return _displayed(clip) if clip.format.sample_type == vs.FLOAT else clip


def _format(pixels: str) -> vs.VideoFormat:
    core = vs.core.core
    if "f32" in pixels:
        return core.get_video_format(vs.RGBS)
    known = parse(pixels)
    assert known is not None, pixels
    return core.query_video_format(_FAMILIES[known.family], vs.INTEGER, known.bits, known.across, known.down)


def _frame(blank: vs.VideoFrame, planes: Planes) -> vs.VideoFrame:
    core = vs.core.core
    out = core.create_video_frame(blank.format, blank.width, blank.height)
    for number, plane in enumerate(planes.colour):
        np.copyto(np.asarray(out[number]), plane)
    out.props.update(blank.props)
    out.props["_Range"] = vs.RANGE_FULL if planes.full else vs.RANGE_LIMITED
    out.props["_Primaries"] = _BT709_PRIMARIES
    out.props["_Transfer"] = _LINEAR if blank.format.sample_type == vs.FLOAT else _SRGB
    out.props["_FieldBased"] = 0
    if blank.format.color_family == vs.RGB:
        out.props["_Matrix"] = _RGB_MATRIX
    elif blank.format.color_family == vs.YUV:
        out.props["_Matrix"] = planes.matrix
        if blank.format.subsampling_w:
            out.props["_ChromaLocation"] = _CENTRE
    if planes.alpha is not None:
        gray = core.query_video_format(vs.GRAY, blank.format.sample_type, blank.format.bits_per_sample, 0, 0)
        alpha = core.create_video_frame(gray, blank.width, blank.height)
        np.copyto(np.asarray(alpha[0]), planes.alpha)
        alpha.props["_Range"] = vs.RANGE_FULL
        out.props[ALPHA] = alpha
    return out


def _displayed(clip: vs.VideoNode) -> vs.VideoNode:
    """Convert linear light to sRGB of 16 bits."""
    with clip.get_frame(0) as frame:
        transparent = ALPHA in frame.props
    shown = clip.std.Expr("x 0 max 1 min").resize.Point(
        format=vs.RGB48, transfer_in=_LINEAR, transfer=_SRGB, primaries_in=1, primaries=1
    )
    if not transparent:
        return shown
    alpha = clip.std.PropToClip(ALPHA).std.Expr("x 0 max 1 min").resize.Point(format=vs.GRAY16, range=vs.RANGE_FULL)
    return shown.std.ClipToProp(alpha, ALPHA)
