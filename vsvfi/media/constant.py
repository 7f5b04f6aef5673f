"""Decide whether encoder settings state a quality, which chunks can have one by one, or a bitrate of the whole."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BY_QUALITY = frozenset(
    (
        *("libx264", "libx264rgb", "libx265", "libvpx-vp9", "libsvtav1", "libaom-av1", "librav1e", "ffv1", "huffyuv"),
        *("ffvhuff", "utvideo", "magicyuv", "png", "qtrle", "rawvideo", "v210", "prores", "prores_aw", "prores_ks"),
        *("prores_videotoolbox", "cfhd", "dnxhd"),
    )
)
"""Encoders that are given, or have by default, a constant quality or a profile."""

_QUALITY = frozenset(["-crf", "-qp", "-q", "-qscale", "-cq", "-global_quality", "-lossless"])
_BITRATE = frozenset(["-b", "-minrate", "-maxrate", "-bufsize", "-pass", "-passlogfile", "-vbr"])
_LISTED = re.compile(r"(?:^|:)((?:bitrate|vbv-[a-z]+|pass|tbr|mbr|target-bitrate)=[^:]*|rc=[12])")
_LISTS = frozenset({"-x265-params", "-x264-params", "-svtav1-params", "-aom-params"})


def bitrate_target(encoder: str, *, crf: bool, more: Sequence[str]) -> str | None:
    """Return the setting by which an encode has a bitrate to keep over its whole length, None if it has none.

    Args:
        encoder: ffmpeg's name.
        crf: a constant rate factor is given.
        more: checked options, see `encoder_args.parse`.
    """
    quality = crf or encoder in _BY_QUALITY
    for name, value in zip(more[::2], more[1::2], strict=True):
        plain = name.partition(":")[0]
        if plain in _BITRATE and value.strip("0") != "":
            return f"{name} {value}"
        if plain in _LISTS and (found := _LISTED.search(value)):
            return f"{plain} {found[1]}"
        quality = quality or plain in _QUALITY or (plain == "-rc" and value in ("constqp", "cqp", "icq"))
    return None if quality else f"{encoder} without a quality"
