"""Keep what must not move: inside a mask, interpolated frames show the nearest source frame.

Interpolators tear subtitles, logos and other graphics that are drawn over moving footage and do not move.
"""

from __future__ import annotations

from typing import Literal

import vapoursynth as vs

from vsvfi.clip import decisions, scenes
from vsvfi.clip.alignment import Alignment
from vsvfi.clip.failures import reporting
from vsvfi.clip.overlay_detection import overlay_masks, step_masks
from vsvfi.clip.readable import readable
from vsvfi.clip.select import Selection
from vsvfi.clip.version import check_version
from vsvfi.errors import ArgumentError, ClipError, VsvfiError
from vsvfi.options.arguments import parse_mask
from vsvfi.plan.policy import Policy
from vsvfi.plan.timeline import Interpolate, Timeline
from vsvfi.topics import with_help

type Mask = vs.VideoNode | Literal["auto"]

_FEATHER = 2
"""Pixels outside a mask over which it fades."""


def keep_overlays(interpolated: vs.VideoNode, source: vs.VideoNode, mask: Mask = "auto") -> vs.VideoNode:
    """Restore overlays in the output of any interpolator.

    Inside the mask, frames between two source frames show the nearer of the two; the others, also those between the
    frames on both sides of a scene change, are passed through. Output frame n is taken for position n / factor of the
    source, where the factor is the ratio of the frame rates, or of the lengths if a clip has no rate.

    Args:
        interpolated: the output of an interpolator; its first frame is the first of the source.
        source: what it was made from, of the same format and size.
        mask: as in `interpolate()`.

    Raises:
        vapoursynth.Error: "keep_overlays: ..." with the argument, its value, the rule and the remedy.
    """
    try:
        check_version()
        return _kept(interpolated, source, parse_mask(mask))
    except VsvfiError as error:
        raise vs.Error(f"keep_overlays: {with_help(str(error), error)}") from None


def _kept(interpolated: vs.VideoNode, source: vs.VideoNode, mask: object) -> vs.VideoNode:
    for name, clip in (("interpolated", interpolated), ("source", source)):
        if not isinstance(clip, vs.VideoNode):
            raise ArgumentError(name, type(clip).__name__, "must be a VapourSynth video clip", "pass a clip")
    looks = [(clip.format.name, clip.width, clip.height) for clip in (interpolated, source)]
    if looks[0] != looks[1]:
        raise ClipError(f"the clips differ: {looks[0]} and {looks[1]}", "bring both to one format and size first")
    checked = check_mask(mask, source)
    if checked is None:
        return interpolated
    rated = bool(interpolated.fps and source.fps)
    factor = interpolated.fps / source.fps if rated else interpolated.num_frames / source.num_frames
    timeline = Timeline(factor.limit_denominator(1 << 30), source.num_frames, source.fps or None)
    if interpolated.num_frames > timeline.length:
        raise ClipError(
            f"the interpolated clip has {interpolated.num_frames} frames, more than {timeline.length}, which "
            f"{source.num_frames} frames give at {factor} times the rate",
            "pass the clip that was interpolated, with its own rate",
        )
    informing = readable(source)
    facts = scenes.facts(informing, scene="auto", threshold=None, duplicates=False)
    selection = Selection(timeline)
    policy = Policy(duplicates="off")
    plan = decisions.decision_clip(informing, facts, selection, timeline, policy, (0, lambda n, frames: None))
    align = Alignment(selection, plan, policy)
    merged = restored(interpolated, source, kept_mask(source, checked, align), align)

    def choose(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        return merged if isinstance(decisions.shown(f), Interpolate) else interpolated

    return interpolated.std.FrameEval(reporting(choose), prop_src=plan, clip_src=[merged, interpolated])


def kept_mask(source: vs.VideoNode, mask: Mask, align: Alignment) -> vs.VideoNode:
    """Return where interpolated frames show the nearest source frame, aligned to the output, with a soft edge.

    Args:
        source: the source clip.
        mask: "auto", or a clip that has passed `check_mask`.
        align: to the output.
    """
    if isinstance(mask, str):
        kept = align.last_step(step_masks(overlay_masks(readable(source))))
    else:
        given = _whole(mask, source.num_frames)
        kept = vs.core.std.Expr([align.first(given), align.second(given)], "x y max")
    for _ in range(_FEATHER + 1):
        kept = kept.std.Maximum()
    return kept.std.BoxBlur(hradius=_FEATHER, vradius=_FEATHER)


def restored(image: vs.VideoNode, source: vs.VideoNode, kept: vs.VideoNode, align: Alignment) -> vs.VideoNode:
    """Return interpolated frames with the nearest source frame's samples where `kept_mask` is white."""
    return _merged(image, align.nearest(source), kept)


def check_mask(mask: object, clip: vs.VideoNode) -> Mask | None:
    """Return a parsed `mask=`, refusing clips that do not fit `clip`.

    Raises:
        ArgumentError: with the rule.
    """
    if mask is None:
        return None
    if mask == "auto":
        return "auto"
    if not isinstance(mask, vs.VideoNode):
        raise ArgumentError("mask", type(mask).__name__, 'must be "auto" or a clip', "pass a Gray clip, white = keep")
    form, rule = mask.format, None
    if form is None or form.color_family != vs.GRAY or (form.sample_type == vs.INTEGER and form.bits_per_sample > 16):
        rule = "must be Gray, 8 to 16 bit or float"
    elif (mask.width, mask.height) != (clip.width, clip.height):
        rule = f"must have the clip's size of {clip.width}x{clip.height}"
    elif mask.num_frames not in (1, clip.num_frames):
        rule = f"must have one frame, or one for each of the clip's {clip.num_frames}"
    if rule is not None:
        name = "varying" if form is None else form.name
        shape = f"{name} {mask.width}x{mask.height}, {mask.num_frames} frames"
        raise ArgumentError("mask", shape, rule, "white is what is kept; convert or crop the mask first")
    return mask


def _whole(mask: vs.VideoNode, length: int) -> vs.VideoNode:
    """A mask for every source frame."""
    bare = mask.std.RemoveFrameProps()
    if mask.format.id == vs.GRAYH:  # which std.Maximum does not take
        bare = bare.resize.Point(format=vs.GRAYS)
    return bare.std.Loop(times=length) if mask.num_frames < length else bare


def _merged(image: vs.VideoNode, nearest: vs.VideoNode, mask: vs.VideoNode) -> vs.VideoNode:
    """`nearest` where the mask is white, `image` where it is black."""
    form = image.format
    half = form.sample_type == vs.FLOAT and form.bits_per_sample == 16
    bits = 32 if half else form.bits_per_sample
    wide = vs.core.query_video_format(form.color_family, form.sample_type, bits, form.subsampling_w, form.subsampling_h)
    grey = vs.core.query_video_format(vs.GRAY, form.sample_type, bits)
    scaled = mask
    if mask.format.id != grey.id:
        scaled = mask.resize.Point(format=grey.id, range_in=vs.RANGE_FULL, range=vs.RANGE_FULL)
    clips = (
        [image, nearest]
        if not half
        else [clip.std.RemoveFrameProps().resize.Point(format=wide.id) for clip in (image, nearest)]
    )
    merged = vs.core.std.MaskedMerge(clips[0], clips[1], scaled, first_plane=True)
    return merged.resize.Point(format=form.id).std.CopyFrameProps(image) if half else merged
