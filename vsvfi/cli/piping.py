"""Bring the interpolated clip and its alpha into a format that the encoder takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import vapoursynth as vs

from vsvfi.clip.alpha import ALPHA, alpha_of
from vsvfi.clip.colour import guess_matrix
from vsvfi.clip.props import read_integer
from vsvfi.media.pixels import Pixels, carried_over, carrier, choose

_FAMILIES = {vs.RGB: "rgb", vs.YUV: "yuv", vs.GRAY: "gray"}
_CODES = {name: family for family, name in _FAMILIES.items()}


@dataclass(frozen=True, slots=True)
class Piped:
    """The clip that is piped to ffmpeg, with its formats.

    Attributes:
        clip: the image.
        alpha: its transparency, None if it has none.
        pixels: ffmpeg's name of the planes' format.
        encoded: ffmpeg's name of the format to encode in, "" for the encoder's choice.
    """

    clip: vs.VideoNode
    alpha: vs.VideoNode | None
    pixels: str
    encoded: str

    def part(self, first: int, last: int | None) -> Piped:
        """Frames `first` to `last`, both included."""
        alpha = None if self.alpha is None else take_part(self.alpha, first, last)
        return dataclasses.replace(self, clip=take_part(self.clip, first, last), alpha=alpha)

    def set_output(self) -> None:
        """Set the clip, and its alpha if there is one, as vspipe's output.

        vspipe writes RGB planes in the order green, blue, red, as ffmpeg expects them, then alpha.
        """
        self.clip.set_output(0, self.alpha)


def fit(clip: vs.VideoNode, takes: Iterable[Mapping[str, Any]], bits: int | None = None) -> Piped:
    """Convert a clip as little as possible to what an encoder takes; a clip that it takes is left untouched.

    Args:
        clip: of constant format.
        takes: the encoder's formats, `Pixels` as mappings; empty if unknown.
        bits: of the source file, which a source filter may have widened; None for those of the clip.
    """
    video_format = clip.format
    with clip.get_frame(0) as frame:
        given = alpha_of(frame.props, clip.width, clip.height)
        alpha_format = None if given is None else given.format.id
        matrix = read_integer(frame.props, "_Matrix", 2)
    most = video_format.bits_per_sample if video_format.sample_type == vs.INTEGER else 16
    depth = max(8, min(most, bits or most))
    have = Pixels(
        _FAMILIES[video_format.color_family],
        depth,
        video_format.subsampling_w,
        video_format.subsampling_h,
        alpha_format is not None,
    )
    chosen = choose(have, [Pixels(**one) for one in takes])
    if chosen is None:
        pipe = carried_over(have)
    else:
        whole = clip.width % (1 << chosen.across) == 0 and clip.height % (1 << chosen.down) == 0
        spaced = chosen if whole else dataclasses.replace(chosen, across=0, down=0)  # odd sizes are ffmpeg's to round
        pipe = carrier(dataclasses.replace(spaced, alpha=chosen.alpha and have.alpha))
    alpha = _alpha(clip, alpha_format, pipe.bits) if alpha_format is not None and pipe.alpha else None
    image = clip.std.RemoveFrameProps(ALPHA) if alpha_format is not None else clip
    return Piped(_converted(image, pipe, matrix), alpha, pipe.name, "" if chosen is None else chosen.name)


def take_part(clip: vs.VideoNode, first: int, last: int | None) -> vs.VideoNode:
    """Frames `first` to `last`, both included, as far as the clip goes; all of it where it ends before `first`."""
    if first >= clip.num_frames:
        return clip
    return clip.std.Trim(first=first, last=clip.num_frames - 1 if last is None else min(last, clip.num_frames - 1))


def _converted(clip: vs.VideoNode, pipe: Pixels, matrix: int | None) -> vs.VideoNode:
    video_format = clip.format
    wanted = vs.core.core.query_video_format(_CODES[pipe.family], vs.INTEGER, pipe.bits, pipe.across, pipe.down)
    if wanted.id == video_format.id:
        return clip
    if video_format.color_family == vs.RGB and wanted.color_family != vs.RGB:
        return clip.resize.Bicubic(format=wanted.id, matrix=vs.MATRIX_BT709, range=vs.RANGE_LIMITED)
    if wanted.color_family == vs.RGB and video_format.color_family != vs.RGB:
        known = {} if matrix in (1, 4, 5, 6, 7, 8, 9) else {"matrix_in": guess_matrix(clip.height)}
        return clip.resize.Bicubic(format=wanted.id, range=vs.RANGE_FULL, **known)
    return clip.resize.Bicubic(format=wanted.id)


def _alpha(clip: vs.VideoNode, format_id: int, bits: int) -> vs.VideoNode:
    """Return the alpha of every frame, opaque for frames without.

    The image is requested as well, so the clip is cached; otherwise each frame would be computed twice.
    """
    clip.std.SetVideoCache(mode=1)
    video_format = vs.core.core.get_video_format(format_id)
    full = 1.0 if video_format.sample_type == vs.FLOAT else (1 << video_format.bits_per_sample) - 1
    opaque = clip.std.BlankClip(format=format_id, color=full, keep=True)

    def extract(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        frame, blank = cast(list[vs.VideoFrame], f)
        alpha = alpha_of(frame.props, clip.width, clip.height)
        return blank if alpha is None or alpha.format.id != format_id else alpha

    alpha = opaque.std.ModifyFrame([clip, opaque], extract).std.RemoveFrameProps()
    wanted = vs.core.core.query_video_format(vs.GRAY, vs.INTEGER, bits, 0, 0)
    if wanted.id == format_id:
        return alpha
    return alpha.resize.Point(format=wanted.id, range_in=vs.RANGE_FULL, range=vs.RANGE_FULL)
