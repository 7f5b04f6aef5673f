"""Splatting on the CPU: loops over one band of target rows, compiled by LLVM for the values' channels and types.

A band visits the source pixels in row-major order and only adds to its own targets, so the order of every sum does not
depend on the number of bands. The sums of all values and of the weights are contiguous in a workspace, so a source adds
a few vectors to each target. Products and sums are rounded one by one, so both code paths for adding a source give the
same result. `bands` divides a call into bands.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from vsvfi.ops.llvm import (
    BF16Pointer,
    Code,
    F32Pointer,
    Float,
    FloatPointer,
    Function,
    I64Pointer,
    Int,
    pick,
    pointer_from,
    select,
)

LANES = 32
"""Maximum number of sums in one vector; LLVM splits it into the CPU's vectors."""

FIELDS = 4
"""Entries of `Arguments.values` per value: the source's address and strides of rows and columns, the result's address.

Strides are in elements; the result is dense.
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Memory layout of one value: contiguous channels, in float32 or bfloat16."""

    channels: int
    bfloat: bool


@dataclass(frozen=True)
class Plane:
    """A map with one number per source pixel, and the strides of rows and columns."""

    values: F32Pointer
    row: Int
    column: Int

    def of(self, row: Int, column: Int) -> Float:
        """The number of one pixel."""
        return self.values[row * self.row + column * self.column]


@dataclass(frozen=True)
class Arguments:
    """Arguments of the code for one band of one image.

    FIELDS of all values; displacements, and the smallest and largest in y of every row; weights; the band's workspace;
    the plane of D; the image's size; the target rows of the band.
    """

    values: I64Pointer
    x: Plane
    y: Plane
    low: F32Pointer
    high: F32Pointer
    weight: Plane
    sums: F32Pointer
    total: F32Pointer
    height: Int
    width: Int
    begin: Int
    end: Int


@dataclass(frozen=True, slots=True)
class _Value:
    """One value: where it is read and written."""

    layout: Layout
    source: FloatPointer
    row: Int
    column: Int
    result: FloatPointer

    @classmethod
    def of(cls, given: Arguments, layout: Layout, number: int) -> _Value:
        source, row, column, result = (given.values[number * FIELDS + field] for field in range(FIELDS))
        kind = BF16Pointer if layout.bfloat else F32Pointer
        return cls(layout, pointer_from(kind, source), row, column, pointer_from(kind, result))


@dataclass(frozen=True, slots=True)
class _Piece:
    """Channels of one value that lie in one vector of sums."""

    value: int
    begin: int
    count: int


@dataclass(frozen=True, slots=True)
class _Band:
    """A band under construction."""

    code: Code[Arguments]
    values: Sequence[_Value]
    vectors: Sequence[tuple[int, Sequence[_Piece | None]]]
    depth: int

    @property
    def given(self) -> Arguments:
        return self.code.arguments

    def sums(self, pixel: Int) -> F32Pointer:
        """The sums of one pixel of the band."""
        return self.given.sums.at(pixel * self.depth)


def depth(layouts: Sequence[Layout]) -> int:
    """Workspace elements per pixel of a band: the sums of all channels, then D."""
    return sum(layout.channels for layout in layouts) + 1


@functools.lru_cache(maxsize=64)
def compiled(weighted: bool, layouts: tuple[Layout, ...]) -> Function:
    """Compile the code for A / D and D in the rows `begin` to `end`; neither band nor image may be empty.

    Args:
        weighted: whether sources have weights; otherwise their address and strides are ignored.
        layouts: of the values, one or more.

    Raises:
        RuntimeError: LLVM cannot generate code for this machine.
    """
    code = Code("splat", Arguments)
    given = code.arguments
    band = _Band(
        code,
        [_Value.of(given, layout, number) for number, layout in enumerate(layouts)],
        _vectors(layouts),
        depth(layouts),
    )
    pixels = (given.end - given.begin) * given.width
    with code.loop(pixels) as pixel:
        for start in range(0, band.depth, LANES):
            band.sums(pixel).at(start).store(code.number(0.0, min(LANES, band.depth - start)))
    begin, end = (given.begin - 1).to_float(), given.end.to_float()
    with code.loop(given.height) as row:
        top = row.to_float()
        # Rows with values that are not finite are never skipped: neither comparison holds for NaN.
        passes = (given.low[row] + top >= end) | (given.high[row] + top < begin)
        with code.when(~passes), code.loop(given.width) as column:
            y = given.y.of(row, column) + top
            with code.when(y.within(begin, end)):
                x = given.x.of(row, column) + column.to_float()
                weight = given.weight.of(row, column) if weighted else None
                reaches = x.within(-1.0, given.width.to_float())
                if weight is not None:
                    reaches = reaches & weight.differs(0.0) & weight.absolute().within(0.0, float("inf"))
                with code.when(reaches):
                    _scatter(band, row, column, x, y, weight)
    with code.loop(pixels) as pixel:
        _divide(band, pixel)
    return code.compile()


def _scatter(band: _Band, row: Int, column: Int, x: Float, y: Float, weight: Float | None) -> None:
    """Add a source to its four targets: in one step if all are inside the band, the usual case, else one by one."""
    code, given = band.code, band.given
    left, above = x.floor(), y.floor()
    right_share, below_share = x - left.to_float(), y - above.to_float()
    left_share, above_share = 1.0 - right_share, 1.0 - below_share
    shares = [left_share * above_share, right_share * above_share, left_share * below_share, right_share * below_share]
    if weight is not None:
        shares = [share * weight for share in shares]
    line = above - given.begin
    columns = [(left + step).inside(given.width) for step in (0, 1)]
    rows = [(line + step).inside(given.end - given.begin) for step in (0, 1)]
    reached = [columns[k % 2] & rows[k // 2] & shares[k].differs(0.0) for k in range(4)]
    corner = line * given.width + left
    targets = [corner, corner + 1, corner + given.width, corner + given.width + 1]
    with code.either(functools.reduce(operator.and_, reached)) as (all_four, some):
        with all_four:
            _add(band, row, column, targets, shares)
        with some, code.loop(4) as k, code.when(pick(k, reached)):
            _add(band, row, column, [pick(k, targets)], [pick(k, shares)])


def _add(band: _Band, row: Int, column: Int, targets: Sequence[Int], shares: Sequence[Float]) -> None:
    """Add a source to the sums of distinct targets, pixels of the band."""
    sources = [value.source.at(row * value.row + column * value.column) for value in band.values]
    for begin, pieces in band.vectors:
        parts = [
            sources[piece.value].at(piece.begin).load(piece.count) if piece else band.code.number(1.0)
            for piece in pieces
        ]
        carried = functools.reduce(Float.joined, parts)
        places = [band.sums(target).at(begin) for target in targets]
        sums = [place.load(carried.lanes) for place in places]
        for place, before, share in zip(places, sums, shares, strict=True):
            place.store(before + carried * share)


def _divide(band: _Band, pixel: Int) -> None:
    """Write A / D of all values, and D, for one pixel of the band."""
    given, sums = band.given, band.sums(pixel)
    target = given.begin * given.width + pixel
    total = sums[band.depth - 1]
    given.total[target] = total
    divisor = select(~total.equals(0.0), total, 1.0)
    for begin, pieces in band.vectors:
        averages = sums.at(begin).load(sum(piece.count if piece else 1 for piece in pieces)) / divisor
        lane = 0
        for piece in pieces:
            if piece:
                value = band.values[piece.value]
                value.result.at(target * value.layout.channels + piece.begin).store(
                    averages.pick(range(lane, lane + piece.count))
                )
                lane += piece.count


def _vectors(layouts: Sequence[Layout]) -> list[tuple[int, list[_Piece | None]]]:
    """Split the sums of a pixel into vectors: the offset and pieces of each; None stands for D, the last element."""
    pieces: list[tuple[_Piece | None, int]] = []
    place = 0
    for number, layout in enumerate(layouts):
        begin = 0
        while begin < layout.channels:
            count = min(LANES - place % LANES, layout.channels - begin)
            pieces.append((_Piece(number, begin, count), place))
            begin, place = begin + count, place + count
    pieces.append((None, place))
    return [
        (start, [piece for piece, at in pieces if start <= at < start + LANES]) for start in range(0, place + 1, LANES)
    ]
