"""Deformable separable convolution on the CPU: loops compiled by LLVM, run over bands of rows on all cores.

All channels of a sample are one vector of four lanes. Products and sums are rounded one by one, in the order of the
taps, so results do not depend on the bands. The code runs without the GIL on threads started for each call.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.ops.llvm import Code, F32Pointer, Float, Function, Int, select
from vsvfi.ops.memory import Memory
from vsvfi.ops.sepconv.reference import BORDER
from vsvfi.ops.threads import in_parts

LANES = 4
"""Lanes of a pixel in memory; those beyond its channels are ignored."""

TAPS = 5
"""Taps along each axis."""

_WORTHWHILE = 1 << 11
"""Result pixels per thread from which another thread saves more time than it takes to start."""


@dataclass(frozen=True)
class Map:
    """A map with several channels per pixel, and its strides."""

    values: F32Pointer
    channel: Int
    row: Int
    column: Int

    def of(self, row: Int, column: Int) -> F32Pointer:
        """The values of one pixel, with stride `channel`."""
        return self.values.at(row * self.row + column * self.column)


@dataclass(frozen=True)
class Arguments:
    """Arguments of the code for one image.

    The padded image [height, width, LANES], the contiguous result [rows, columns, C], the result's origin in the image,
    the rows to compute, and the maps.
    """

    image: F32Pointer
    height: Int
    width: Int
    result: F32Pointer
    columns: Int
    top: Int
    left: Int
    begin: Int
    end: Int
    vertical: Map
    horizontal: Map
    alpha: Map
    beta: Map
    mask: Map


@functools.cache
def compiled(channels: int) -> Function:
    """Compile the code for a non-empty range of rows, `begin` to `end`, of an image with 1 to 4 channels.

    Raises:
        RuntimeError: LLVM cannot generate code for this machine.
    """
    code = Code("sepconv", Arguments)
    given = code.arguments
    last_row, last_column = (given.height - 1).to_float(), (given.width - 1).to_float()
    with code.loop(given.end - given.begin) as number:
        row = given.begin + number
        y = (given.top + row).to_float()
        with code.loop(given.columns) as column:
            x = (given.left + column).to_float()
            vertical, horizontal, alpha, beta, mask = (
                known.of(row, column)
                for known in (given.vertical, given.horizontal, given.alpha, given.beta, given.mask)
            )
            total = code.variable(code.number(0.0, LANES))
            with code.loop(TAPS) as i:
                down = vertical[i * given.vertical.channel]
                for j in range(TAPS):
                    k = i * TAPS + j
                    weight = down * horizontal[given.horizontal.channel * j] * mask[k * given.mask.channel]
                    above, below, upper, lower = _neighbours(
                        _place(alpha[k * given.alpha.channel], y, i.to_float()), last_row
                    )
                    before, behind, near, far = _neighbours(
                        _place(beta[k * given.beta.channel], x, code.number(j)), last_column
                    )
                    line_above = _pixel(given, above, before) * near + _pixel(given, above, behind) * far
                    line_below = _pixel(given, below, before) * near + _pixel(given, below, behind) * far
                    total += (line_above * upper + line_below * lower) * weight
            pixel = given.result.at((row * given.columns + column) * channels)
            for channel in range(channels):
                pixel[channel] = total.value.lane(channel)
    return code.compile()


def _place(offset: Float, pixel: Float, tap: Float) -> Float:
    """The coordinate of a tap along an axis, with the definition's order of summation."""
    return offset + pixel + tap - 2.0 + 1.0


def _neighbours(place: Float, last: Float) -> tuple[Int, Int, Float, Float]:
    """The two samples around a coordinate, and their weights.

    Outside, both are the border sample with a weight of 1. NaN gets a valid index, and NaN weights.
    """
    outside = (place < 0.0) | (place >= last)
    inside = select(~(place < 0.0), select(place > last, last, place), 0.0)
    first = select(~inside.is_nan(), inside, 0.0).truncated()
    second = first + (~outside).to_int()
    return first, second, 1.0 + (first.to_float() - inside), 1.0 - (second.to_float() - inside)


def _pixel(given: Arguments, row: Int, column: Int) -> Float:
    """All channels of a pixel of the padded image."""
    return given.image.at((row * given.width + column) * LANES).load(LANES)


def run(
    image: Tensor, vertical: Tensor, horizontal: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, top: int, left: int
) -> Tensor:
    """Compute D; arguments as for `vsvfi.ops.sepconv.reference.sepconv`, none of them empty.

    The result is dense and channels last in memory. Maps in float32 are read in place, with any strides; others are
    converted first.
    """
    maps = [values.detach().float() for values in (vertical, horizontal, alpha, beta, mask)]
    batch, _, height, width = alpha.shape
    channels = image.shape[1]
    function = compiled(channels)
    continued = functional.pad(image.detach().float(), [BORDER] * 4, mode="replicate")
    images = functional.pad(continued.permute(0, 2, 3, 1), (0, LANES - channels)).contiguous()
    result = torch.empty(batch, height, width, channels, dtype=torch.float32, device=alpha.device)
    taps = (TAPS, TAPS, TAPS * TAPS, TAPS * TAPS, TAPS * TAPS)
    given = [
        Memory("sepconv: maps", values, torch.float32, (batch, count, height, width), dense=0)
        for values, count in zip(maps, taps, strict=True)
    ]
    padded = (len(images), image.shape[2] + 2 * BORDER, image.shape[3] + 2 * BORDER, LANES)
    pixels = Memory("sepconv: image", images, torch.float32, padded)
    made = Memory("sepconv: result", result, torch.float32, (batch, height, width, channels))

    def task(index: int, begin: int, end: int) -> None:
        function(
            pixels.at(index),
            *padded[1:3],
            made.at(index),
            width,
            top,
            left,
            begin,
            end,
            *(number for values in given for number in (values.at(index), *values.strides[1:])),
        )

    threads = min(torch.get_num_threads(), 1 + batch * height * width // _WORTHWHILE)
    bands = min(height, threads)
    tasks = [
        (index, height * band // bands, height * (band + 1) // bands) for index in range(batch) for band in range(bands)
    ]

    def work(first: int) -> None:
        for part in tasks[first::threads]:
            task(*part)

    in_parts(work, threads, "sepconv")
    return result.permute(0, 3, 1, 2)
