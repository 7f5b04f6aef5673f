"""Correlation look-up on the CPU: loops compiled by LLVM, run over ranges of source pixels on all cores.

The patch that a window needs, (2 radius + 2)^2 values of a volume or products of features, is copied to a small buffer
with x as the slow index, the order of the result; two blends of whole rows of it give the window. Results do not depend
on the number of threads. The code runs without the GIL on threads started for each call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.ops.llvm import Code, F32Pointer, Float, Function, I64Pointer, Int
from vsvfi.ops.lookup import reference
from vsvfi.ops.memory import Memory
from vsvfi.ops.threads import in_parts

LANES = 16
"""Lanes of a vector, and the largest side of a patch."""

UNROLLED = 4
"""Independent partial sums of a product; features are padded to a multiple of this many vectors."""

_WORTHWHILE = {False: 1 << 18, True: 1 << 12}
"""Result elements per thread from which another thread saves more time than it takes to start.

From volumes (False) and on demand (True).
"""

type _Task = Callable[[int, int], None]
"""Fills the windows of a range of source pixels."""


@dataclass(frozen=True)
class Arguments:
    """Arguments of the code for one level of one image.

    The volume, or the target's and the source's features with `depth` channels each; the level's size; for every source
    pixel the patch's first column and row, and the two fractions; the first window of the result, and the stride from
    one window to the next; the range of source pixels.
    """

    values: F32Pointer
    sources: F32Pointer
    depth: Int
    height: Int
    width: Int
    columns: I64Pointer
    rows: I64Pointer
    right: F32Pointer
    below: F32Pointer
    result: F32Pointer
    stride: Int
    begin: Int
    end: Int


@functools.cache
def compiled(radius: int, on_demand: bool) -> Function:
    """Compile the code for the windows of a non-empty range of source pixels, `begin` to `end`.

    Args:
        radius: of the window, at most 7.
        on_demand: whether values are products of features; else they are read from a volume.

    Raises:
        RuntimeError: LLVM cannot generate code for this machine.
    """
    code = Code("lookup", Arguments)
    given, side = code.arguments, 2 * radius + 1
    patch = code.array((side + 1) * LANES)
    with code.loop(given.end - given.begin) as index:
        source = given.begin + index
        left, top = given.columns[source], given.rows[source]
        for column in range(side + 1):
            patch.at(column * LANES).store(code.number(0.0, LANES))
        with code.loop(side + 1) as j:
            y = top + j
            with code.when(y.inside(given.height)), code.loop(side + 1) as i:
                x = left + i
                with code.when(x.inside(given.width)):
                    target = y * given.width + x
                    if on_demand:
                        own, other = given.sources.at(source * given.depth), given.values.at(target * given.depth)
                        patch[i * LANES + j] = _product(code, own, other)
                    else:
                        patch[i * LANES + j] = given.values[source * (given.height * given.width) + target]
        right, below = given.right[source].broadcast(LANES), given.below[source].broadcast(LANES)
        window = given.result.at(source * given.stride)
        columns = [patch.at(column * LANES).load(LANES) for column in range(side + 1)]
        for column in range(side):
            across = columns[column] * (1.0 - right) + columns[column + 1] * right
            lower = across.pick([*range(1, LANES), LANES - 1])
            _store(across * (1.0 - below) + lower * below, window.at(column * side), side)
    return code.compile()


def _product(code: Code[Arguments], own: F32Pointer, other: F32Pointer) -> Float:
    """The product of a source pixel's features and a target pixel's."""
    sums = [code.variable(code.number(0.0, LANES)) for _ in range(UNROLLED)]
    with code.loop(code.arguments.depth // (UNROLLED * LANES)) as index, code.fused():
        for number, total in enumerate(sums):
            channel = index * (UNROLLED * LANES) + number * LANES
            total += own.at(channel).load(LANES) * other.at(channel).load(LANES)
    first, second, third, fourth = (total.value for total in sums)
    product = (first + second) + (third + fourth)
    while product.lanes > 1:
        half = product.lanes // 2
        product = product.pick(range(half)) + product.pick(range(half, 2 * half))
    return product


def _store(vector: Float, result: F32Pointer, count: int) -> None:
    """Store the first `count` lanes of a vector, as vectors of 16, 8, 4, 2 and 1 lanes."""
    begin, size = 0, LANES
    while size:
        if count & size:
            result.at(begin).store(vector.pick(range(begin, begin + size)))
            begin += size
        size //= 2


def from_volume(levels: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """Like `vsvfi.ops.lookup.reference.from_volume`; tensors that are not float32 are converted."""
    return _run([level.float().contiguous() for level in levels], None, centres, radius).to(levels[0].dtype)


def on_demand(source: Tensor, targets: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """Like `vsvfi.ops.lookup.reference.on_demand`; tensors that are not float32 are converted."""
    return _run([_rows(target) for target in targets], _rows(source), centres, radius).to(source.dtype)


def _run(levels: Sequence[Tensor], source: Tensor | None, centres: Tensor, radius: int) -> Tensor:
    """Windows of all levels: volumes [B, N, h, w], or, with a source [B, H, W, C], features [B, h, w, C]."""
    batch, _, rows, columns = centres.shape
    function = compiled(radius, source is not None)
    window, count = (2 * radius + 1) ** 2, rows * columns
    result = torch.empty(batch, rows, columns, len(levels) * window, dtype=torch.float32, device=centres.device)
    made = Memory("lookup: result", result, torch.float32, (batch, rows, columns, len(levels) * window))
    own = (
        None
        if source is None
        else Memory("lookup: source", source, torch.float32, (len(source), rows, columns, source.shape[3]))
    )
    tasks: list[_Task] = []
    for number, level in enumerate(levels):
        height, width = level.shape[2:] if source is None else level.shape[1:3]
        if height == 1 or width == 1:
            result[..., number * window : (number + 1) * window] = 0
            continue
        places = reference.corners(centres.flatten(2), number, height, width, radius)
        shape = (len(level), count, height, width) if source is None else (len(level), height, width, source.shape[3])
        of_level = Memory("lookup: level", level, torch.float32, shape)
        chosen = [
            Memory("lookup: centres", place, dtype, (len(place), count))
            for place, dtype in (
                (places.columns, torch.int64),
                (places.rows, torch.int64),
                (places.right, torch.float32),
                (places.below, torch.float32),
            )
        ]
        depth = 0 if source is None else source.shape[3]
        for index in range(batch):
            tasks.append(_task(function, of_level, own, depth, chosen, made, index, number * window, (height, width)))
    threads = min(torch.get_num_threads(), 1 + result.numel() // _WORTHWHILE[source is not None])
    bounds = [count * part // threads for part in range(threads + 1)]

    def work(part: int) -> None:
        if bounds[part] < bounds[part + 1]:
            for task in tasks:
                task(bounds[part], bounds[part + 1])

    in_parts(work, threads, "lookup")
    return result.permute(0, 3, 1, 2)


def _task(
    function: Function,
    level: Memory,
    source: Memory | None,
    depth: int,
    places: Sequence[Memory],
    result: Memory,
    index: int,
    offset: int,
    size: tuple[int, int],
) -> _Task:
    """One level of one image."""

    def run(begin: int, end: int) -> None:
        """Keeps alive the tensors whose addresses are passed to the code."""
        function(
            level.at(index),
            0 if source is None else source.at(index),
            depth,
            *size,
            *(place.at(index) for place in places),
            result.at(index, 0, 0, offset),
            result.strides[2],
            begin,
            end,
        )

    return run


def _rows(features: Tensor) -> Tensor:
    """Features with contiguous channels, [B, h, w, C], where C is zero-padded for the unrolled loop."""
    turned = features.float().permute(0, 2, 3, 1)
    missing = -features.shape[1] % (LANES * UNROLLED)
    return functional.pad(turned, (0, missing)).contiguous() if missing else turned.contiguous()
