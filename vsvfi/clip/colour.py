"""Convert any constant format to planar float RGB and back with zimg, as each frame's colour properties specify.

The transfer function is not applied (interpolation works on the coded signal, HDR included), so primaries and transfer
are irrelevant and unchanged; only scene-linear floating-point light is compressed meanwhile, see `scene_linear`.
Frames without a matrix are assumed to have the one of the `matrix=` argument, else one chosen by height; both
directions use the same matrix, so colours do not flicker.
"""

from __future__ import annotations

from collections.abc import Callable

import vapoursynth as vs

from vsvfi.clip.failures import reporting
from vsvfi.clip.props import read_integer
from vsvfi.clip.scene_linear import LINEAR, compressed, expanded, limited
from vsvfi.engine.frame_format import Coding, ColourFamily, FrameFormat
from vsvfi.errors import ClipError
from vsvfi.options import MATRICES

_FULL, _LIMITED = int(vs.RANGE_FULL), int(vs.RANGE_LIMITED)

_LINEAR_MATRICES = frozenset({1, 4, 5, 6, 7, 8, 9})
"""H.273 codes that are a plain matrix of the coded signal."""

_SURROGATES = {10: 9, 11: 9, 12: 9, 13: 9, 14: 9}
"""Constant-luminance, derived and ICtCp codes: taken through the BT.2020 matrix both ways, which is exact and needs no
linear light.
"""

_FAMILIES: dict[vs.ColorFamily, ColourFamily] = {vs.RGB: "rgb", vs.YUV: "yuv", vs.GRAY: "grey"}


def guess_matrix(height: int) -> int:
    """Guess the H.273 matrix of untagged frames from their height.

    BT.709 from 720 lines up, BT.470 BG for PAL's 576 lines, else SMPTE 170M.
    """
    return 1 if height >= 720 else 5 if height == 576 else 6


def frame_format(clip: vs.VideoNode) -> FrameFormat | None:
    """The format of a clip's frames if they can be converted on a device; zimg refuses the same formats."""
    video_format = clip.format
    subsampling = (video_format.subsampling_w, video_format.subsampling_h)
    if max(subsampling) > 2:
        return None
    family = _FAMILIES[video_format.color_family]
    floating = video_format.sample_type == vs.FLOAT
    return FrameFormat(family, video_format.bits_per_sample, floating, subsampling, clip.width, clip.height)


class Colour:
    """Conversions of one clip.

    Args:
        clip: of constant format.
        rgb_format: vs.RGBS or vs.RGBH.
        matrix: H.273 code for frames without one, or None to guess.
    """

    def __init__(self, clip: vs.VideoNode, rgb_format: int, matrix: int | None) -> None:
        self._format = clip.format
        self._rgb_format = rgb_format
        self._default_matrix = guess_matrix(clip.height) if matrix is None else matrix
        self._core = vs.core.core
        self._logged = False

    def coding(self, props: vs.FrameProps) -> Coding:
        """How a frame with these props is coded."""
        matrix = read_integer(props, "_Matrix", 2)
        matrix = _SURROGATES.get(matrix, matrix)
        if matrix not in _LINEAR_MATRICES:
            matrix = self._default_matrix
            self._log_assumption()
        rgb = self._format.color_family == vs.RGB
        given = read_integer(props, "_Range")
        full = rgb if given is None else given == _FULL
        location = read_integer(props, "_ChromaLocation", int(vs.CHROMA_LEFT))
        linear = self._format.sample_type == vs.FLOAT and read_integer(props, "_Transfer") == LINEAR
        return Coding(matrix, full, location if 0 <= location <= 5 else int(vs.CHROMA_LEFT), linear)

    def _log_assumption(self) -> None:
        """Log that a matrix had to be assumed."""
        if self._logged or self._format.color_family != vs.YUV:
            return
        self._logged = True
        name = next(name for name, code in MATRICES.items() if code == self._default_matrix)
        self._core.log_message(
            vs.MESSAGE_TYPE_INFORMATION,
            f"interpolate: frames have no usable _Matrix, assuming {name}; pass matrix= to override",
        )

    def to_rgb(self, clip: vs.VideoNode) -> vs.VideoNode:
        """Convert the clip to the RGB format, each frame by its own props."""

        def forward(source: vs.VideoNode, coding: Coding) -> vs.VideoNode:
            rgb = self.converted(source, coding)
            return compressed(rgb) if coding.scene_linear else rgb

        return self._by_coding(clip, clip, self._rgb_format, forward, "source frame")

    def from_rgb(
        self, rgb: vs.VideoNode, props_source: vs.VideoNode, first: vs.VideoNode, second: vs.VideoNode
    ) -> vs.VideoNode:
        """Convert RGB back to the clip's format, coded as the props of `props_source`; props are not restored.

        Args:
            rgb: frames interpolated between `first` and `second`.
            props_source: its props specify how each frame is coded.
            first: RGB source frames before, aligned to `rgb`.
            second: RGB source frames after, aligned to `rgb`.
        """

        def back(source: vs.VideoNode, coding: Coding) -> vs.VideoNode:
            if coding.scene_linear:
                source = expanded(limited(source, first, second))
            return self.restored(source, coding)

        return self._by_coding(rgb, props_source, self._format.id, back, "frame")

    def _by_coding(
        self,
        clip: vs.VideoNode,
        props_source: vs.VideoNode,
        format_id: int,
        conversion: Callable[[vs.VideoNode, Coding], vs.VideoNode],
        noun: str,
    ) -> vs.VideoNode:
        """Convert `clip` frame by frame, with one conversion per coding, built when that coding first occurs.

        Args:
            clip: the clip to convert.
            props_source: its props specify how each frame is coded.
            format_id: of the result.
            conversion: converts a whole clip of one coding.
            noun: what frames are called in errors.
        """
        template = clip.std.BlankClip(format=format_id, keep=True)
        converted: dict[Coding, vs.VideoNode] = {}

        def convert(n: int, f: vs.VideoFrame) -> vs.VideoNode:
            coding = self.coding(f.props)
            if coding not in converted:
                converted[coding] = conversion(clip, coding)
            return converted[coding]

        return template.std.FrameEval(reporting(convert, noun), prop_src=props_source, clip_src=clip)

    def converted(self, clip: vs.VideoNode, coding: Coding) -> vs.VideoNode:
        """Convert frames of one coding to the RGB format."""
        if self._format.id == self._rgb_format:
            return clip
        # Remove the props first: they would override or contradict the arguments (an unknown matrix, a chroma location
        # on 4:4:4).
        bare = clip.std.RemoveFrameProps(list(_COLOUR_PROPS))
        range_in = vs.RANGE_FULL if coding.full_range else vs.RANGE_LIMITED
        if self._format.color_family == vs.RGB:
            return bare.resize.Point(format=self._rgb_format, range_in=range_in)
        if self._format.color_family == vs.GRAY:
            depth = vs.GRAYS if self._rgb_format == vs.RGBS else vs.GRAYH
            grey = (
                bare.resize.Point(format=depth, range_in=range_in, range=vs.RANGE_FULL)
                if self._format.id != depth
                else bare
            )
            return self._core.std.ShufflePlanes([grey, grey, grey], planes=[0, 0, 0], colorfamily=vs.RGB)
        return bare.resize.Bicubic(
            format=self._rgb_format, matrix_in=coding.matrix, range_in=range_in, chromaloc_in=coding.chroma_location
        )

    def restored(self, rgb: vs.VideoNode, coding: Coding) -> vs.VideoNode:
        """Convert RGB to frames of one coding, the inverse of `converted`."""
        if self._format.id == self._rgb_format:
            return rgb
        range_out = vs.RANGE_FULL if coding.full_range else vs.RANGE_LIMITED
        bare = rgb.std.RemoveFrameProps(list(_COLOUR_PROPS))
        if self._format.color_family == vs.RGB:
            return bare.resize.Point(format=self._format.id, range=range_out)
        if self._format.color_family == vs.GRAY:
            planes = [self._core.std.ShufflePlanes(bare, planes=plane, colorfamily=vs.GRAY) for plane in range(3)]
            grey = self._core.std.Expr(planes, "x y + z + 3 /")
            return (
                grey.resize.Point(format=self._format.id, range_in=vs.RANGE_FULL, range=range_out)
                if self._format.id != grey.format.id
                else grey
            )
        return bare.resize.Bicubic(
            format=self._format.id, matrix=coding.matrix, range=range_out, chromaloc=coding.chroma_location
        )


_COLOUR_PROPS = ("_Matrix", "_Range", "_ColorRange", "_Transfer", "_Primaries", "_ChromaLocation", "_FieldBased")


def check_progressive(props: vs.FrameProps) -> None:
    """Refuse a frame made of two fields.

    Raises:
        ClipError: `_FieldBased` is 1 or 2.
    """
    if read_integer(props, "_FieldBased") in (1, 2):
        raise ClipError(
            "the clip is interlaced (_FieldBased is 1 or 2)",
            "deinterlace it first (for example with bwdif or QTGMC), or clear the flag with clip.std.SetFieldBased(0) "
            "if it is progressive",
        )
