"""Refuse clips that cannot be interpolated, before anything is built."""

from __future__ import annotations

import vapoursynth as vs

from vsvfi.clip.alpha import alpha_of
from vsvfi.clip.colour import check_progressive
from vsvfi.clip.failures import essential
from vsvfi.errors import ArgumentError, ClipError

_PROBED_LENGTH = 10_000_000
"""Longer clips are placeholders that players pass before there are frames: none is requested on construction."""


def check_clip(clip: object) -> tuple[vs.VideoNode, int | None]:
    """Check a clip.

    Returns:
        The clip, and the format of the alpha that its first frame carries, or None.

    Raises:
        ArgumentError, ClipError: with the remedy.
    """
    if not isinstance(clip, vs.VideoNode):
        raise ArgumentError(
            "clip", type(clip).__name__, "must be a VapourSynth video clip", "pass what a source filter returns"
        )
    if clip.format is None or clip.format.color_family == vs.UNDEFINED or clip.width == 0 or clip.height == 0:
        raise ClipError(
            "the clip's format or size varies",
            "bring it to one format and size first, for example clip.resize.Bicubic(width, height, format=vs.YUV420P8)",
        )
    if clip.format.sample_type == vs.INTEGER and clip.format.bits_per_sample > 16:
        raise ClipError(
            f"the clip is {clip.format.name}, samples of {clip.format.bits_per_sample} bits",
            "convert it to 16 bits or float first with clip.resize.Point(format=...)",
        )
    if getattr(clip, "gpu_resident", False):
        raise ClipError("the clip's frames are on the GPU", "add .std.GPUDownload() before interpolate")
    if clip.num_frames <= _PROBED_LENGTH:
        try:
            frame = clip.get_frame(0)
        except vs.Error as error:  # other frames may be readable; requests for this one report the error
            vs.core.log_message(
                vs.MESSAGE_TYPE_WARNING, f"interpolate: source frame 0 cannot be read ({essential(error)})"
            )
            return clip, None
        with frame:
            check_progressive(frame.props)
            alpha = alpha_of(frame.props, clip.width, clip.height)
            return clip, None if alpha is None else int(alpha.format.id)
    return clip, None
