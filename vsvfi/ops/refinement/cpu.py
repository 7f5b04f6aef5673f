"""The refinement operators on the CPU: one pass each, compiled by LLVM for the channels and steps of the call.

All channels of a pixel are one vector. Rows are divided among the call's threads, and each result is computed by one of
them, so results do not depend on the number of threads. Arguments are not checked.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from vsvfi.ops.llvm import Code, F32Pointer, Float, Function, Int, select
from vsvfi.ops.memory import Memory
from vsvfi.ops.threads import in_parts

_WORTHWHILE = 1 << 13
"""Warped pixels per thread from which another thread saves more time than it takes to start."""


@dataclass(frozen=True)
class Image:
    """Pixels with contiguous channels, and the strides of rows and columns."""

    values: F32Pointer
    row: Int
    column: Int

    def at(self, row: Int, column: Int) -> F32Pointer:
        return self.values.at(row * self.row + column * self.column)


@dataclass(frozen=True)
class Arguments:
    """Arguments of the code for one image of a batch; unused ones are ignored.

    `other` is a state, a mask or a change of the flow. `rows` and `columns` are the size of the result, `height` and
    `width` that of the images; the result's rows `begin` to `end` are computed.
    """

    first: Image
    second: Image
    flow: Image
    other: Image
    time: F32Pointer
    result: F32Pointer
    rows: Int
    columns: Int
    height: Int
    width: Int
    begin: Int
    end: Int


@functools.lru_cache(maxsize=64)
def _compiled_warp(channels: int, kept: int, step: int, ratio: int) -> Function:
    code = Code("warp_pair", Arguments)
    given = code.arguments
    size = 2 * channels + 1 + kept + 4
    places = (0, 1) if step > 1 else (0,)
    with code.loop(given.end - given.begin) as number, code.loop(given.columns) as column:
        row = given.begin + number
        sums: list[Float] = []
        with code.fused():
            for down in places:
                for across in places:
                    y, x = (
                        place * step + ((step // 2 - 1) + offset if step > 1 else 0)
                        for place, offset in ((row, down), (column, across))
                    )
                    flow = given.flow.at(y, x).load(4)
                    found = [*_warped(given, flow, y, x, channels), flow]
                    sums = [one + two for one, two in zip(sums, found, strict=True)] if sums else found
            share = 1 / len(places) ** 2
            first, second, flow = sums[0] * share, sums[1] * share, sums[2] * (share / step)
            state = _enlarged(given, row, column, ratio, kept)
        pixel = given.result.at((row * given.columns + column) * size)
        pixel.store(first)
        pixel.at(channels).store(second)
        pixel[2 * channels] = given.time[0]
        pixel.at(2 * channels + 1).store(state)
        pixel.at(size - 4).store(flow)
    return code.compile()


@functools.cache
def _compiled_blend(lanes: int) -> Function:
    code = Code("blend_pair", Arguments)
    given = code.arguments
    with code.loop(given.end - given.begin) as number, code.loop(given.columns) as column:
        row = given.begin + number
        with code.fused():
            first, second = _warped(given, given.flow.at(row, column).load(4), row, column, lanes)
            blended = second + (first - second) * given.other.at(row, column)[0]
        pixel = given.result.at((row * given.columns + column) * 3)
        for channel in range(3):
            pixel[channel] = blended.lane(channel)
    return code.compile()


@functools.lru_cache(maxsize=64)
def _compiled_add(adds: bool, step: int) -> Function:
    code = Code("add_flow", Arguments)
    given = code.arguments
    with code.loop(given.end - given.begin) as number, code.loop(given.columns) as column:
        row = given.begin + number
        with code.fused():
            total = _enlarged(given, row, column, step, 4) * float(step)
            if adds:
                total = given.flow.at(row, column).load(4) + total
        given.result.at((row * given.columns + column) * 4).store(total)
    return code.compile()


def _warped(given: Arguments, flow: Float, y: Int, x: Int, lanes: int) -> tuple[Float, Float]:
    """Sample both images where the flow of one pixel points to; positions outside are clamped to the border."""
    flow = select(~flow.is_nan(), flow, 0.0)
    first, second = (
        _sampled(
            image, flow.lane(axis) + x.to_float(), flow.lane(axis + 1) + y.to_float(), given.height, given.width, lanes
        )
        for image, axis in ((given.first, 0), (given.second, 2))
    )
    return first, second


def _sampled(image: Image, x: Float, y: Float, height: Int, width: Int, lanes: int) -> Float:
    """Bilinear in the four pixels around a position, clamped to the image."""
    (left, right, across), (above, below, down) = _neighbours(x, width), _neighbours(y, height)
    upper, lower = (
        _between(image.at(row, left).load(lanes), image.at(row, right).load(lanes), across) for row in (above, below)
    )
    return _between(upper, lower, down)


def _neighbours(position: Float, length: Int) -> tuple[Int, Int, Float]:
    """The two pixels around a position along one axis, and how far it is from the first to the second."""
    last = (length - 1).to_float()
    inside = position.at_least(0.0)
    inside = select(inside > last, last, inside)
    first = inside.truncated()
    return first, first + (first + 1).inside(length).to_int(), inside - first.to_float()


def _enlarged(given: Arguments, row: Int, column: Int, ratio: int, lanes: int) -> Float:
    """`other` at a pixel of the size that is `ratio` times its own, half-pixel centres."""
    if ratio == 1:
        return given.other.at(row, column).load(lanes)
    (above, below, down), (left, right, across) = (
        _neighbours(place.to_float() * (1 / ratio) + (0.5 / ratio - 0.5), length // ratio)
        for place, length in ((row, given.rows), (column, given.columns))
    )
    upper, lower = (
        _between(given.other.at(line, left).load(lanes), given.other.at(line, right).load(lanes), across)
        for line in (above, below)
    )
    return _between(upper, lower, down)


def _between(one: Float, other: Float, share: Float) -> Float:
    return one + (other - one) * share


def warp_pair(
    first: Tensor, second: Tensor, flow: Tensor, state: Tensor, times: Tensor, step: int, ratio: int
) -> Tensor:
    """See `vsvfi.ops.refinement.warp_pair`."""
    batch, _, height, width = flow.shape
    channels = 2 * first.shape[1] + 1 + state.shape[1] + 4
    function = _compiled_warp(first.shape[1], state.shape[1], step, ratio)
    result = torch.empty(batch, height // step, width // step, channels, dtype=torch.float32, device=flow.device)
    return _run(function, first, second, flow, state, times.float(), result, (height, width), min(step, 2) ** 2)


def blend_pair(first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    """See `vsvfi.ops.refinement.blend_pair`."""
    batch, _, height, width = flow.shape
    result = torch.empty(batch, height, width, 3, dtype=torch.float32, device=flow.device)
    return _run(_compiled_blend(min(first.shape[1], 4)), first, second, flow, mask, None, result, (height, width), 1)


def add_flow(flow: Tensor | None, change: Tensor, step: int) -> Tensor:
    """See `vsvfi.ops.refinement.add_flow`."""
    batch, _, height, width = change.shape
    result = torch.empty(batch, height * step, width * step, 4, dtype=torch.float32, device=change.device)
    return _run(_compiled_add(flow is not None, step), None, None, flow, change, None, result, (0, 0), 0.25)


def _run(
    function: Function,
    first: Tensor | None,
    second: Tensor | None,
    flow: Tensor | None,
    other: Tensor,
    times: Tensor | None,
    result: Tensor,
    size: tuple[int, int],
    weight: float,
) -> Tensor:
    """Compute all rows of all images of a batch. `weight` is the cost of a result pixel in warped pixels."""
    batch, rows, columns, _ = result.shape
    images = [
        None if image is None else _readable(name, image)
        for name, image in (("first", first), ("second", second), ("flow", flow), ("other", other))
    ]
    time = None if times is None else Memory("refinement: times", times, torch.float32, (len(times),))
    made = Memory("refinement: result", result, torch.float32, tuple(result.shape))

    def task(index: int, begin: int, end: int) -> None:
        fields = [field for image in images for field in _fields(image, index)]
        moment = 0 if time is None else time.at(index)
        function(*fields, moment, made.at(index), rows, columns, *size, begin, end)

    threads = min(torch.get_num_threads(), 1 + int(batch * rows * columns * weight) // _WORTHWHILE)
    bands = min(rows, threads)
    tasks = [
        (index, rows * band // bands, rows * (band + 1) // bands) for index in range(batch) for band in range(bands)
    ]

    def work(number: int) -> None:
        for given in tasks[number::threads]:
            task(*given)

    in_parts(work, threads, "refinement")
    return result.permute(0, 3, 1, 2)


def _fields(image: Memory | None, index: int) -> tuple[int, int, int]:
    """Address and strides of one image; a batch of 1 is broadcast."""
    if image is None:
        return 0, 0, 0
    _, row, column, _ = image.strides
    return image.at(index), row, column


def _readable(name: str, image: Tensor) -> Memory:
    """The image in float32 with contiguous channels and any strides of rows and columns."""
    rows = image.detach().float().permute(0, 2, 3, 1)
    if rows.shape[3] != 1 and rows.stride(3) != 1:
        rows = rows.contiguous()
    return Memory(f"refinement: {name}", rows, torch.float32, tuple(rows.shape), dense=1)
