"""Correlation look-up on the CPU: the loops, compiled by LLVM, and their way over ranges of source pixels on all cores.

The patch that a window can touch, (2 radius + 2)^2 values of a volume or products of features, is put into a small
buffer with x as the slow index, which is the order of the result; two blends of whole rows of it make the window. Every
number is computed in one way whatever the number of threads. The code runs without the GIL on threads of its own call.
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
"""Numbers of a vector, and the largest side of a patch."""

UNROLLED = 4
"""Vectors of a product that are summed side by side; features come padded to a multiple of this many vectors."""

_WORTHWHILE = {False: 1 << 18, True: 1 << 12}
"""Numbers in a result for which one more thread is worth its start, which takes a third of a millisecond: from volumes,
and on demand.
"""

type _Task = Callable[[int, int], None]
"""Fills the windows of a range of source pixels."""


@dataclass(frozen=True)
class Arguments:
    """What the code is given for one level of one image: the volume, or the target's features and the source's, `depth`
    channels each; the level's size; for every source pixel the patch's first column and row, and the two fractions;
    where the first window goes, and numbers from one window to the next; the source pixels to look up.
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
    """The windows of the source pixels `begin` to `end`, of which there must be one.

    Args:
        radius: of the window, 7 at most.
        on_demand: whether values are products of features; else they are read from a volume.

    Raises:
        RuntimeError: LLVM cannot make code for this machine.
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
    """The first `count` numbers of a vector, in pieces that are vectors of 16, 8, 4, 2 and 1."""
    begin, size = 0, LANES
    while size:
        if count & size:
            result.at(begin).store(vector.pick(range(begin, begin + size)))
            begin += size
        size //= 2


def from_volume(levels: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """As `vsvfi.ops.lookup.reference.from_volume`; what is not float32 is copied."""
    return _run([level.float().contiguous() for level in levels], None, centres, radius).to(levels[0].dtype)


def on_demand(source: Tensor, targets: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """As `vsvfi.ops.lookup.reference.on_demand`; what is not float32 is copied."""
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
        """Holds the tensors whose addresses the code is given."""
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
    """Features with their channels side by side, [B, h, w, C], C filled up with zeros to whole rounds of the code."""
    turned = features.float().permute(0, 2, 3, 1)
    missing = -features.shape[1] % (LANES * UNROLLED)
    return functional.pad(turned, (0, missing)).contiguous() if missing else turned.contiguous()
