"""Encode images as GIF, WebP or video with ffmpeg."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

ENDINGS = (".gif", ".webp", ".mp4", ".mkv")

_FILTERS = {
    ".gif": "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=sierra2_4a",
    ".webp": "null",
}
_VIDEO_FILTER = "pad=ceil(iw/2)*2:ceil(ih/2)*2,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
_BT709 = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")


def animation_arguments(
    output: Path, ending: str, size: tuple[int, int], rate: Fraction, *, deep: bool = False, crf: int = 12
) -> Sequence[str]:
    """Return ffmpeg's arguments after the program; images are piped as packed RGB.

    Args:
        output: the file to write.
        ending: one of `ENDINGS`.
        size: width and height.
        rate: images per second.
        deep: images have 16 bits, else 8.
        crf: quality of a video; 0 is lossless.
    """
    pixels = "rgb48le" if deep else "rgb24"
    source = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{size[0]}x{size[1]}", "-r", str(rate), "-i", "-"]
    encoded: Sequence[str]
    if ending == ".gif":
        encoded = ("-loop", "0", "-f", "gif")
    elif ending == ".webp":
        encoded = ("-c:v", "libwebp_anim", "-lossless", "0", "-quality", "92", "-loop", "0", "-f", "webp")
    else:
        muxer = "mp4" if ending == ".mp4" else "matroska"
        encoded = ("-c:v", "libx264", "-crf", str(crf), *_BT709, "-movflags", "+faststart", "-f", muxer)
    chosen = _FILTERS.get(ending, _VIDEO_FILTER)
    return ["-hide_banner", "-v", "error", "-y", *source, "-vf", chosen, *encoded, str(output)]
