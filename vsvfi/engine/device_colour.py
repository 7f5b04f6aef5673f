"""Convert frames between the clip's own format and RGB on the device, equal to what zimg computes.

Chroma is resampled by zimg's bicubic filters; results differ from zimg's by rounding alone, which
`python -m scripts.colour_against_zimg` measures. Coefficients are computed when a coding first occurs; from then on a
conversion is about ten kernels, does not wait for the device and can be captured in a CUDA graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.engine.chroma_filter import AxisFilter, Site, downsampling, upsampling
from vsvfi.engine.frame_format import LINEAR_GAIN, LINEAR_SPAN, Coding, FrameFormat

_RED_BLUE = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Shares of red and blue in luma, by H.273 code."""

_YCGCO = 8


@dataclass(frozen=True, slots=True)
class _Upsampler:
    """Mirrored indices of chroma samples, and one convolution from chroma to (colours x row phases x column phases)."""

    rows: Tensor
    columns: Tensor
    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class _Reduction:
    """Mirrored indices of chroma samples along an axis, and the filter of each channel."""

    axis: int
    indices: Tensor
    weight: Tensor
    stride: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Coefficients:
    """What the conversions of a coding need.

    Attributes:
        luma: (scale, offset) of the first plane, of every plane for RGB: code = value * scale + offset.
        upsampler: from chroma codes to their part of RGB, with every offset; YUV only.
        matrix, offsets: from RGB to codes, a convolution of one pixel; YUV only.
        reductions: of chroma, for subsampled formats.
    """

    luma: tuple[float, float]
    upsampler: _Upsampler | None = None
    matrix: Tensor | None = None
    offsets: Tensor | None = None
    reductions: tuple[_Reduction, ...] = ()


class DeviceColour:
    """Conversions of frames of one format on one device. Thread-safe.

    Args:
        frame_format: of the frames.
        device: where they are converted.
    """

    def __init__(self, frame_format: FrameFormat, device: torch.device) -> None:
        self.format = frame_format
        self._device = device
        self._dtype = _dtype(frame_format)
        self._prepared: dict[Coding, _Coefficients] = {}

    def to_rgb(self, packed: Tensor, coding: Coding) -> Tensor:
        """Convert a packed frame to RGB.

        Args:
            packed: [frame_bytes] uint8 on the device.
            coding: of the frame.

        Returns:
            [1, 3, H, W] float32, values outside [0, 1] kept; scene-linear light is compressed.
        """
        found, frame_format = self._coefficients(coding), self.format
        samples = packed.view(self._dtype).to(torch.float32)
        scale, offset = found.luma
        if found.upsampler is None:
            image = samples.view(1, len(frame_format.shapes), frame_format.height, frame_format.width)
            if not frame_format.floating:
                image = (image - offset).div_(scale)  # exactly 1 for the highest code
            image = image.expand(1, 3, -1, -1)
        else:
            area = frame_format.height * frame_format.width
            luma = samples[:area].view(1, 1, frame_format.height, frame_format.width)
            chroma = samples[area:].view(1, 2, *frame_format.shapes[1])
            image = _upsampled(chroma, found.upsampler, frame_format).add_(luma, alpha=1 / scale)
        return compressed(image) if coding.scene_linear else image

    def from_rgb(self, image: Tensor, coding: Coding, limits: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Convert RGB to a packed frame.

        Args:
            image: [1, 3, H, W] float32.
            coding: of the frame.
            limits: lowest and highest values [1, 3, 1, 1], for scene-linear light.

        Returns:
            [frame_bytes] uint8 on the device.
        """
        found, frame_format = self._coefficients(coding), self.format
        if coding.scene_linear:
            image = expanded(image if limits is None else image.clamp(*limits))
        scale, offset = found.luma
        if found.matrix is not None:
            codes = functional.conv2d(image, found.matrix, found.offsets)
            if found.reductions:
                luma, chroma = codes.tensor_split((1,), 1)
                for reduction in found.reductions:
                    extended = chroma.index_select(reduction.axis, reduction.indices)
                    chroma = functional.conv2d(extended, reduction.weight, None, reduction.stride, groups=2)
                codes = torch.cat([luma.flatten(), chroma.flatten()])
        else:
            image = image.sum(1, keepdim=True).div_(3) if frame_format.family == "grey" else image
            codes = image if frame_format.floating else image * scale + offset
        if not frame_format.floating:
            codes = codes.round().clamp_(0, (1 << frame_format.bits) - 1)
        return codes.to(self._dtype).flatten().view(torch.uint8)

    def may_exceed(self, coding: Coding) -> bool:
        """Whether RGB values outside [0, 1] can occur."""
        return self.format.floating or self.format.family == "yuv" or not coding.full_range

    def _coefficients(self, coding: Coding) -> _Coefficients:
        found = self._prepared.get(coding)
        if found is None:
            found = self._prepared.setdefault(coding, self._compute(coding))
        return found

    def _compute(self, coding: Coding) -> _Coefficients:
        frame_format = self.format
        luma = (1.0, 0.0) if frame_format.floating else _scale(frame_format.bits, coding.full_range, chroma=False)
        if frame_format.family != "yuv":
            return _Coefficients(luma)
        chroma = (1.0, 0.0) if frame_format.floating else _chroma_scale(frame_format.bits, coding)
        matrix = _matrix(coding.matrix)
        scales = torch.tensor([luma[0], chroma[0], chroma[0]], dtype=torch.float64, device="cpu")
        offsets = torch.tensor([luma[1], chroma[1], chroma[1]], dtype=torch.float64, device="cpu")
        return _Coefficients(
            luma,
            self._upsampler(torch.linalg.inv(matrix) / scales, offsets, coding.chroma_location),
            self._constant((matrix * scales[:, None])[..., None, None]),
            self._constant(offsets),
            self._reductions(coding.chroma_location),
        )

    def _upsampler(self, inverse: Tensor, offsets: Tensor, location: int) -> _Upsampler:
        """Combine the filters of both axes and the matrix (codes -> RGB) into one convolution."""
        (across, down), (height, width) = self.format.subsampling, self.format.shapes[1]
        horizontal, vertical = _sites(location)
        rows, columns = upsampling(height, down, vertical), upsampling(width, across, horizontal)
        filters = (torch.tensor(axis.coefficients, dtype=torch.float64, device="cpu") for axis in (rows, columns))
        weight = torch.einsum("oi,pk,ql->opqikl", inverse[:, 1:], *filters).flatten(0, 2)
        bias = -(inverse @ offsets).repeat_interleave(rows.phases * columns.phases)
        return _Upsampler(self._indices(rows), self._indices(columns), self._constant(weight), self._constant(bias))

    def _reductions(self, location: int) -> tuple[_Reduction, ...]:
        """The filters of both axes that reduce chroma."""
        frame_format, found = self.format, []
        for axis, length, log2, site in zip(
            (-1, -2), (frame_format.width, frame_format.height), frame_format.subsampling, _sites(location), strict=True
        ):
            if log2:
                reduction = downsampling(length, log2, site)
                weight = torch.tensor(reduction.coefficients, dtype=torch.float64, device="cpu")
                shape = (2, 1, 1, -1) if axis == -1 else (2, 1, -1, 1)
                stride = (1, reduction.step) if axis == -1 else (reduction.step, 1)
                filters = self._constant(weight.expand(2, -1).reshape(shape))
                found.append(_Reduction(axis, self._indices(reduction), filters, stride))
        return tuple(found)

    def _constant(self, values: Tensor) -> Tensor:
        # The copy is waited for; a kernel after it would not be, and other streams use the result.
        return values.to(torch.float32).contiguous().to(self._device)

    def _indices(self, axis: AxisFilter) -> Tensor:
        return torch.tensor(axis.source, dtype=torch.int64, device=self._device)


def compressed(image: Tensor) -> Tensor:
    """Compress linear light, see `vsvfi.clip.scene_linear`."""
    return (image.abs() * LINEAR_GAIN + 1).log_().div_(LINEAR_SPAN).copysign(image)


def expanded(image: Tensor) -> Tensor:
    """The inverse of `compressed`."""
    return (image.abs() * LINEAR_SPAN).exp_().sub_(1).div_(LINEAR_GAIN).copysign(image)


def _upsampled(chroma: Tensor, upsampler: _Upsampler, frame_format: FrameFormat) -> Tensor:
    """Chroma codes [1, 2, h, w] -> their part of RGB [1, 3, H, W]."""
    across, down = (1 << log2 for log2 in frame_format.subsampling)
    if down > 1:
        chroma = chroma.index_select(-2, upsampler.rows)
    if across > 1:
        chroma = chroma.index_select(-1, upsampler.columns)
    parts = functional.conv2d(chroma, upsampler.weight, upsampler.bias)
    # Place the phases side by side.
    split = parts.view(3, down, across, *frame_format.shapes[1]).permute(0, 3, 1, 4, 2)
    return split.reshape(1, 3, frame_format.height, frame_format.width)


def _dtype(frame_format: FrameFormat) -> torch.dtype:
    if frame_format.floating:
        return {16: torch.float16, 32: torch.float32}[frame_format.bits]
    return torch.uint8 if frame_format.bits == 8 else torch.uint16


def _scale(bits: int, full_range: bool, *, chroma: bool) -> tuple[float, float]:
    """(scale, offset) of integer codes: code = value * scale + offset."""
    if full_range:
        return (1 << bits) - 1.0, float(1 << (bits - 1)) if chroma else 0.0
    unit = 1 << (bits - 8)
    return (224.0 * unit, 128.0 * unit) if chroma else (219.0 * unit, 16.0 * unit)


def _chroma_scale(bits: int, coding: Coding) -> tuple[float, float]:
    """(scale, offset) of chroma codes; YCgCo's chroma has the range of luma."""
    scale, offset = _scale(bits, coding.full_range, chroma=True)
    return (_scale(bits, coding.full_range, chroma=False)[0] if coding.matrix == _YCGCO else scale), offset


def _matrix(code: int) -> Tensor:
    """RGB -> YUV, [3, 3] float64."""
    if code == _YCGCO:
        rows = [[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0.0, -0.5]]
        return torch.tensor(rows, dtype=torch.float64, device="cpu")
    red, blue = _RED_BLUE[code]
    luma = torch.tensor([red, 1 - red - blue, blue], dtype=torch.float64, device="cpu")
    unit = torch.eye(3, dtype=torch.float64, device="cpu")
    return torch.stack([luma, (unit[2] - luma) / (2 * (1 - blue)), (unit[0] - luma) / (2 * (1 - red))])


def _sites(location: int) -> tuple[Site, Site]:
    """Horizontal and vertical site of a chroma location."""
    across: Site = "first" if location in (0, 2, 4) else "centre"
    down: Site = "centre" if location in (0, 1) else "first" if location in (2, 3) else "last"
    return across, down
