"""Describe the samples of a frame as the clip stores them: format, size and coding."""

from __future__ import annotations

from dataclasses import dataclass
from math import log1p, prod
from typing import Literal

type ColourFamily = Literal["rgb", "yuv", "grey"]

LINEAR_GAIN = 64.0
LINEAR_SPAN = log1p(LINEAR_GAIN * 65504.0)
"""Of the logarithm that compresses linear light, see `vsvfi.clip.scene_linear`."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How the samples of a frame are coded.

    Attributes:
        matrix: H.273 code; without meaning for RGB and Gray.
        full_range: whether samples use the whole range of codes.
        chroma_location: H.273's code (0 left, 1 centre, 2 top left, 3 top, 4 bottom left, 5 bottom), for subsampled
            formats.
        scene_linear: whether samples are linear light in floating point, which has no upper bound.
    """

    matrix: int
    full_range: bool
    chroma_location: int
    scene_linear: bool = False


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """The planes of a frame, packed one after the other without padding.

    Attributes:
        family: of the colours.
        bits: of a sample.
        floating: samples are floating point, otherwise unsigned integers of 1 or 2 bytes.
        subsampling: binary logarithms of the chroma planes' reduction in width and height.
        width, height: of the first plane.
    """

    family: ColourFamily
    bits: int
    floating: bool
    subsampling: tuple[int, int]
    width: int
    height: int

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of each plane."""
        full = (self.height, self.width)
        if self.family == "grey":
            return (full,)
        across, down = self.subsampling
        reduced = (self.height >> down, self.width >> across)
        return (full, reduced, reduced)

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        return -(-self.bits // 8)

    @property
    def plane_bytes(self) -> tuple[int, ...]:
        """Bytes of each plane."""
        return tuple(prod(shape) * self.sample_bytes for shape in self.shapes)

    @property
    def frame_bytes(self) -> int:
        """Bytes of a packed frame."""
        return sum(self.plane_bytes)
