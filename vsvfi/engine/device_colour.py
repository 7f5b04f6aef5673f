"""Convert frames between the clip's own format and RGB on the device, equal to what zimg computes.

Results agree with zimg's bicubic resampling of chroma, matrices and ranges within rounding (see
`scripts/check/colour.py`). Coefficients are computed once per coding; a conversion is a handful of kernels, does not
synchronise with the host and can be captured in a CUDA graph once its coefficients exist (`prepare`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log1p

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.engine.chroma_filter import AxisFilter, Site, downsampling, upsampling
from vsvfi.engine.frame_format import Coding, FrameFormat

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

SCENE_LINEAR_GAIN = 64.0
SCENE_LINEAR_SPAN = log1p(SCENE_LINEAR_GAIN * 65504.0)
"""Of the logarithm that compresses linear light, see `vsvfi.clip.scene_linear`."""


@dataclass(frozen=True, slots=True)
class _Resampler:
    """Mirrored indices and one convolution over both axes, from input planes to (colours x phases) planes."""

    rows: Tensor | None
    columns: Tensor | None
    weight: Tensor
    bias: Tensor
    stride: tuple[int, int]

    def __call__(self, planes: Tensor) -> Tensor:
        if self.rows is not None:
            planes = planes.index_select(-2, self.rows)
        if self.columns is not None:
            planes = planes.index_select(-1, self.columns)
        return functional.conv2d(planes, self.weight, self.bias, self.stride)


@dataclass(frozen=True, slots=True)
class _Coefficients:
    """What a coding's conversions need.

    Attributes:
        luma: (scale, offset) of the first plane, of every plane for RGB: code = value * scale + offset.
        upsample: chroma codes -> their part of RGB, with every offset; YUV only.
        downsample: RGB -> chroma codes.
        to_luma: RGB -> luma codes, a convolution of one pixel.
    """

    luma: tuple[float, float]
    upsample: _Resampler | None = None
    downsample: _Resampler | None = None
    to_luma: _Resampler | None = None


class DeviceColour:
    """Conversions of frames of one format on one device. Thread-safe.

    Args:
        form: of the frames.
        device: where they are converted.
    """

    def __init__(self, form: FrameFormat, device: torch.device) -> None:
        self.form = form
        self._device = device
        self._dtype = _dtype(form)
        self._prepared: dict[Coding, _Coefficients] = {}

    def prepare(self, coding: Coding) -> None:
        """Compute the coefficients of a coding; otherwise the first frame that has it does."""
        self._coefficients(coding)

    def to_rgb(self, packed: Tensor, coding: Coding) -> Tensor:
        """Convert a packed frame to RGB.

        Args:
            packed: [frame_bytes] uint8 on the device, aligned to a sample.
            coding: of the frame.

        Returns:
            [1, 3, H, W] float32, values outside [0, 1] kept; scene-linear light is compressed.
        """
        found, form = self._coefficients(coding), self.form
        samples = packed.view(self._dtype).to(torch.float32)
        scale, offset = found.luma
        area = form.height * form.width
        if found.upsample is None:
            channels = len(form.shapes)
            image = samples.view(1, channels, form.height, form.width)
            if not form.floating:
                image = (image - offset).div_(scale)  # exactly 1 for the highest code
            image = image.expand(1, 3, -1, -1)
        else:
            luma = samples[:area].view(1, 1, form.height, form.width)
            parts = found.upsample(samples[area:].view(1, 2, *form.shapes[1]))
            image = _interleaved(parts, form).add_(luma, alpha=1 / scale)
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
        found, form = self._coefficients(coding), self.form
        if coding.scene_linear:
            image = expanded(image if limits is None else image.clamp(*limits))
        scale, offset = found.luma
        packed = torch.empty(form.frame_bytes, dtype=torch.uint8, device=image.device)
        samples = packed.view(self._dtype)
        area = form.height * form.width
        if found.to_luma is not None and found.downsample is not None:
            self._store(found.to_luma(image), samples[:area])
            self._store(found.downsample(image), samples[area:])
            return packed
        if form.family == "grey":
            image = image.sum(1, keepdim=True).div_(3)
        self._store(image if form.floating else image * scale + offset, samples)
        return packed

    def may_exceed(self, coding: Coding) -> bool:
        """Whether RGB values outside [0, 1] can occur."""
        return self.form.floating or self.form.family == "yuv" or not coding.full_range

    def _store(self, values: Tensor, samples: Tensor) -> None:
        """Round values to codes of the format and write them."""
        target = samples.view(values.shape)
        if not self.form.floating:
            values = values.round().clamp_(0, (1 << self.form.bits) - 1)
        target.copy_(values)

    def _coefficients(self, coding: Coding) -> _Coefficients:
        found = self._prepared.get(coding)
        if found is None:
            found = self._prepared.setdefault(coding, self._compute(coding))
        return found

    def _compute(self, coding: Coding) -> _Coefficients:
        form = self.form
        luma = (1.0, 0.0) if form.floating else _scale(form.bits, coding.full_range, chroma=False)
        if form.family != "yuv":
            return _Coefficients(luma)
        chroma = (1.0, 0.0) if form.floating else _chroma_scale(form.bits, coding)
        forward = _matrix(coding.matrix)
        backward = torch.linalg.inv(forward)
        across, down = form.subsampling
        horizontal, vertical = _sites(coding.chroma_location)
        (_, _), (height, width), _ = form.shapes
        # Chroma's part of RGB: codes are scaled and combined by the matrix in the same convolution.
        part = backward[:, 1:]
        up = self._resampler(
            upsampling(height, down, vertical),
            upsampling(width, across, horizontal),
            part / chroma[0],
            -(part.sum(1) * chroma[1] / chroma[0]) - luma[1] / luma[0],
        )
        reduce = self._resampler(
            downsampling(form.height, down, vertical),
            downsampling(form.width, across, horizontal),
            forward[1:] * chroma[0],
            torch.full((2,), chroma[1], dtype=torch.float64, device="cpu"),
        )
        one = downsampling(1, 0, "centre")
        first = torch.full((1,), luma[1], dtype=torch.float64, device="cpu")
        to_luma = self._resampler(one, one, forward[:1] * luma[0], first)
        return _Coefficients(luma, up, reduce, to_luma)

    def _resampler(self, rows: AxisFilter, columns: AxisFilter, matrix: Tensor, bias: Tensor) -> _Resampler:
        """Combine both axes and a matrix [out, in] with a bias [out] into one convolution.

        Its output channels are ordered (out, row phase, column phase).
        """
        down = torch.tensor(rows.coefficients, dtype=torch.float64, device="cpu")
        across = torch.tensor(columns.coefficients, dtype=torch.float64, device="cpu")
        weight = torch.einsum("oi,pk,ql->opqikl", matrix, down, across).flatten(0, 2)

        def index(axis: AxisFilter) -> Tensor | None:
            return None if axis.taps == 1 and axis.phases == 1 and axis.step == 1 else self._constant(axis.source)

        def move(values: Tensor) -> Tensor:
            return values.to(self._device, torch.float32).contiguous()

        biases = bias.repeat_interleave(rows.phases * columns.phases)
        return _Resampler(index(rows), index(columns), move(weight), move(biases), (rows.step, columns.step))

    def _constant(self, indices: list[int]) -> Tensor:
        return torch.tensor(indices, dtype=torch.int64, device=self._device)


def compressed(image: Tensor) -> Tensor:
    """Compress linear light, see `vsvfi.clip.scene_linear`."""
    return (image.abs() * SCENE_LINEAR_GAIN + 1).log_().div_(SCENE_LINEAR_SPAN).copysign(image)


def expanded(image: Tensor) -> Tensor:
    """The inverse of `compressed`."""
    return (image.abs() * SCENE_LINEAR_SPAN).exp_().sub_(1).div_(SCENE_LINEAR_GAIN).copysign(image)


def _interleaved(parts: Tensor, form: FrameFormat) -> Tensor:
    """Place phases side by side: [1, 3 * rows * columns, h, w] -> [1, 3, H, W]."""
    across, down = (1 << log2 for log2 in form.subsampling)
    height, width = form.shapes[1]
    split = parts.view(3, down, across, height, width).permute(0, 3, 1, 4, 2)
    return split.reshape(1, 3, form.height, form.width)


def _dtype(form: FrameFormat) -> torch.dtype:
    if form.floating:
        return {16: torch.float16, 32: torch.float32}[form.bits]
    return torch.uint8 if form.bits == 8 else torch.uint16


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
