"""Machine code for splatting on this machine's CPU, through LLVM: one band of target rows of one picture, all values that share a displacement.

Runs through the source pixels in the order of rows and columns and adds to the targets of its band alone, so every sum has one order however many bands
there are. The code is made for the values' channels and types: the sums of all values and of the weights lie side by side in a workspace, so that a source
adds a few vectors to each target, whatever it carries. Products and sums are rounded one by one, so that a target has the same bits whichever way its
source came. Knows no tensor; `kernel_llvmlite` does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from vsvfi.ops.llvm import FLOAT, INT, LONG, loop, machine_code

LANES = 32
"""Sums that are taken as one vector at most; LLVM divides it into what the CPU has."""

FIELDS = ("source", "source_row", "source_column", "result")
"""What the code is told about each value, as 64-bit numbers: address and strides (in numbers) of the picture, address of the dense result."""

POINTERS = ("values", "x", "y", "low", "high", "weight", "sums", "total")
"""Addresses: the fields of all values; displacements in x and y; smallest and largest displacement in y of every row; weights; the workspace, which is the
band's own; the plane of D."""

NUMBERS = ("row", "column", "weight_row", "weight_column", "height", "width", "begin", "end")
"""Strides of displacements and weights, the picture's size, the band's first row and the one behind its last."""

_HALF = ir.IntType(16)


@dataclass(frozen=True, slots=True)
class Layout:
    """One value as the code reads and writes it: channels side by side, in float32 or bfloat16."""

    channels: int
    bfloat: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """Channels of one value that lie in one vector of sums."""

    value: int
    begin: int
    count: int


def depth(layouts: Sequence[Layout]) -> int:
    """Numbers that the workspace has for each pixel of a band: the sums of all channels, then D."""
    return sum(layout.channels for layout in layouts) + 1


@functools.lru_cache(maxsize=64)
def compiled(weighted: bool, layouts: tuple[Layout, ...]) -> Callable[..., None]:
    """The function, called without the GIL: addresses as in POINTERS, then NUMBERS. Fills the rows of its band in all results and in D.

    Args:
        weighted: whether sources have weights; without them their address and strides mean nothing.
        layouts: of the values, one or more.

    Raises:
        RuntimeError: LLVM cannot make code for this machine.
    """
    return machine_code(_Band(weighted, layouts).assembly(), "splat", len(POINTERS), len(NUMBERS))


class _Band:
    """The function being built."""

    def __init__(self, weighted: bool, layouts: tuple[Layout, ...]) -> None:
        self.weighted, self.layouts, self.depth = weighted, layouts, depth(layouts)
        self.vectors = _vectors(layouts)
        self.module = ir.Module(name="vsvfi_splat")
        pointers = [ir.PointerType(LONG if name == "values" else FLOAT) for name in POINTERS]
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [*pointers, *[LONG] * len(NUMBERS)]), name="splat")
        self.given = dict(zip((*POINTERS, *NUMBERS), function.args, strict=True))
        self.builder = ir.IRBuilder(function.append_basic_block())
        self.fields = [self._fields(value) for value in range(len(layouts))]

    def assembly(self) -> str:
        """The whole module. Loops need at least one round: no band and no picture may be empty."""
        builder, given = self.builder, self.given
        first, pixels = (builder.mul(number, given["width"]) for number in (given["begin"], builder.sub(given["end"], given["begin"])))
        with loop(builder, pixels) as (pixel, _, _):
            self._clear(pixel)
        begin, end = (builder.sitofp(builder.sub(given[name], LONG(back)), FLOAT) for name, back in (("begin", 1), ("end", 0)))
        with loop(builder, given["height"]) as (row, _, _):
            top = builder.uitofp(row, FLOAT)
            low, high = (builder.fadd(builder.load(self._at(given[name], row)), top) for name in ("low", "high"))
            # True for NaN: a row with what is not finite is looked through pixel by pixel.
            near = builder.and_(builder.fcmp_unordered("<", low, end), builder.fcmp_unordered(">=", high, begin))
            with builder.if_then(near), loop(builder, given["width"]) as (column, _, _):
                self._source(row, top, column, begin, end)
        with loop(builder, pixels) as (pixel, _, _):
            self._divide(pixel, builder.add(first, pixel))
        builder.ret_void()
        return str(self.module)

    def _source(self, row: Any, top: Any, column: Any, begin: Any, end: Any) -> None:
        """One source pixel: where it goes, and its part in all sums. Every comparison is false for NaN, so what is not finite reaches nothing."""
        builder, given = self.builder, self.given
        offset = self._offset(row, given["row"], column, given["column"])
        y = builder.fadd(builder.load(self._at(given["y"], offset)), top)
        with builder.if_then(self._within(y, begin, end)):
            x = builder.fadd(builder.load(self._at(given["x"], offset)), builder.uitofp(column, FLOAT))
            reaches = self._within(x, FLOAT(-1.0), builder.uitofp(given["width"], FLOAT))
            weight = None
            if self.weighted:
                weight = builder.load(self._at(given["weight"], self._offset(row, given["weight_row"], column, given["weight_column"])))
                zero, infinity = FLOAT(0.0), FLOAT(float("inf"))
                reaches = builder.and_(reaches, builder.fcmp_ordered("!=", weight, zero))
                reaches = builder.and_(
                    reaches, self._within(builder.select(builder.fcmp_ordered("<", weight, zero), builder.fneg(weight), weight), zero, infinity)
                )
            with builder.if_then(reaches):
                self._neighbours(row, column, x, y, weight)

    def _neighbours(self, row: Any, column: Any, x: Any, y: Any, weight: Any | None) -> None:
        """The four targets of a source, added to at once where all are reached, as in the inside of smooth motion, else one by one."""
        builder, given = self.builder, self.given
        (left, right_share), (above, below_share) = self._split(x), self._split(y)
        left_share, above_share = (builder.fsub(FLOAT(1.0), share) for share in (right_share, below_share))
        pairs = ((left_share, above_share), (right_share, above_share), (left_share, below_share), (right_share, below_share))
        shares = [builder.fmul(across, along) for across, along in pairs]
        if weight is not None:
            shares = [builder.fmul(share, weight) for share in shares]
        band = builder.sub(given["end"], given["begin"])
        lines = builder.sub(above, given["begin"])
        columns = [builder.icmp_unsigned("<", builder.add(left, LONG(step)), given["width"]) for step in (0, 1)]  # -1 is a huge number without a sign
        rows = [builder.icmp_unsigned("<", builder.add(lines, LONG(step)), band) for step in (0, 1)]
        reached = []
        for number, share in enumerate(shares):
            inside = builder.and_(columns[number % 2], rows[number // 2])
            reached.append(builder.and_(inside, builder.fcmp_ordered("!=", share, FLOAT(0.0))))
        corner = builder.add(builder.mul(lines, given["width"]), left)
        below = builder.add(corner, given["width"])
        targets = [corner, builder.add(corner, LONG(1)), below, builder.add(below, LONG(1))]
        with builder.if_else(functools.reduce(builder.and_, reached)) as (all_four, some):
            with all_four:
                self._add(row, column, targets, shares)
            with some, loop(builder, LONG(4)) as (number, _, _), builder.if_then(self._pick(number, reached)):
                self._add(row, column, [self._pick(number, targets)], [self._pick(number, shares)])

    def _add(self, row: Any, column: Any, targets: Sequence[Any], shares: Sequence[Any]) -> None:
        """A source's part in the sums of distinct targets, pixels of the band."""
        builder = self.builder
        sources = []
        for source, row_stride, column_stride, _ in self.fields:
            sources.append(builder.gep(source, [self._offset(row, row_stride, column, column_stride)]))
        starts = [builder.mul(target, LONG(self.depth)) for target in targets]
        for begin, pieces in self.vectors:
            carried = self._joined([self._load(sources[piece.value], piece) if piece else ir.Constant(ir.VectorType(FLOAT, 1), [1.0]) for piece in pieces])
            places = [self._vector(self.given["sums"], builder.add(start, LONG(begin)), carried.type.count) for start in starts]
            before = [builder.load(place, align=4) for place in places]
            parts = [builder.fmul(carried, self._spread(share, carried.type.count)) for share in shares]
            for place, sums, part in zip(places, before, parts, strict=True):
                builder.store(builder.fadd(sums, part), place, align=4)

    def _divide(self, pixel: Any, target: Any) -> None:
        """A / D in all results, and D, of one pixel of the band that is `target` in the picture."""
        builder = self.builder
        start = builder.mul(pixel, LONG(self.depth))
        total = builder.load(self._at(self.given["sums"], builder.add(start, LONG(self.depth - 1))))
        builder.store(total, self._at(self.given["total"], target))
        divisor = builder.select(builder.fcmp_ordered("==", total, FLOAT(0.0)), FLOAT(1.0), total)
        for begin, pieces in self.vectors:
            lanes = sum(piece.count if piece else 1 for piece in pieces)
            sums = builder.load(self._vector(self.given["sums"], builder.add(start, LONG(begin)), lanes), align=4)
            averages = builder.fdiv(sums, self._spread(divisor, lanes))
            lane = 0
            for piece in pieces:
                if piece:
                    self._store(self._lanes(averages, lane, piece.count), piece, target)
                    lane += piece.count

    def _clear(self, pixel: Any) -> None:
        """Zeros in all sums of one pixel of the band."""
        start = self.builder.mul(pixel, LONG(self.depth))
        for begin in range(0, self.depth, LANES):
            zeros = ir.Constant(ir.VectorType(FLOAT, min(LANES, self.depth - begin)), None)
            self.builder.store(zeros, self._vector(self.given["sums"], self.builder.add(start, LONG(begin)), zeros.type.count), align=4)

    def _load(self, source: Any, piece: _Piece) -> Any:
        """Channels of one source pixel, as float32."""
        builder = self.builder
        place = builder.gep(source, [LONG(piece.begin)])
        if not self.layouts[piece.value].bfloat:
            return builder.load(builder.bitcast(place, ir.PointerType(ir.VectorType(FLOAT, piece.count))), align=4)
        whole = ir.VectorType(INT, piece.count)
        halves = builder.load(builder.bitcast(place, ir.PointerType(ir.VectorType(_HALF, piece.count))), align=2)
        return builder.bitcast(builder.shl(builder.zext(halves, whole), ir.Constant(whole, [16] * piece.count)), ir.VectorType(FLOAT, piece.count))

    def _store(self, averages: Any, piece: _Piece, target: Any) -> None:
        """Channels of one target in its result, rounded to the nearest number of its type, to the even one of two."""
        builder, layout = self.builder, self.layouts[piece.value]
        place = builder.gep(self.fields[piece.value][3], [builder.add(builder.mul(target, LONG(layout.channels)), LONG(piece.begin))])
        if not layout.bfloat:
            builder.store(averages, builder.bitcast(place, ir.PointerType(averages.type)), align=4)
            return
        whole = ir.VectorType(INT, piece.count)

        def every(number: int) -> Any:
            return ir.Constant(whole, [number] * piece.count)

        bits = builder.bitcast(averages, whole)
        odd = builder.and_(builder.lshr(bits, every(16)), every(1))
        rounded = builder.lshr(builder.add(builder.add(bits, every(0x7FFF)), odd), every(16))
        rounded = builder.select(builder.fcmp_unordered("uno", averages, averages), every(0x7FC0), rounded)  # NaN, which rounding could make infinite
        halves = ir.VectorType(_HALF, piece.count)
        builder.store(builder.trunc(rounded, halves), builder.bitcast(place, ir.PointerType(halves)), align=2)

    def _joined(self, vectors: Sequence[Any]) -> Any:
        """One vector of all lanes, in order."""
        joined = vectors[0]
        for vector in vectors[1:]:
            before, more = joined.type.count, vector.type.count
            joined, vector = self._lanes(joined, 0, before + more), self._lanes(vector, 0, before + more)
            order = [*range(before), *range(before + more, before + 2 * more)]
            joined = self.builder.shuffle_vector(joined, vector, ir.Constant(ir.VectorType(INT, before + more), order))
        return joined

    def _lanes(self, vector: Any, begin: int, count: int) -> Any:
        """`count` lanes of a vector from `begin` on; those behind its end mean nothing."""
        present = vector.type.count
        if begin == 0 and count == present:
            return vector
        order = [index if index < present else 0 for index in range(begin, begin + count)]
        return self.builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), ir.Constant(ir.VectorType(INT, count), order))

    def _fields(self, value: int) -> tuple[Any, Any, Any, Any]:
        """FIELDS of a value; addresses as pointers to its type. Loaded once: a store may change what an address leads to, for all that LLVM knows."""
        builder = self.builder
        loaded = (builder.load(self._at(self.given["values"], LONG(value * len(FIELDS) + number))) for number in range(len(FIELDS)))
        source, row_stride, column_stride, result = loaded
        kind = ir.PointerType(_HALF if self.layouts[value].bfloat else FLOAT)
        return builder.inttoptr(source, kind), row_stride, column_stride, builder.inttoptr(result, kind)

    def _split(self, coordinate: Any) -> tuple[Any, Any]:
        """Floor and remainder of a coordinate that is known to fit into an integer."""
        builder = self.builder
        whole = builder.fptosi(coordinate, INT)  # towards zero
        above = builder.fcmp_ordered(">", builder.sitofp(whole, FLOAT), coordinate)
        whole = builder.sub(whole, builder.zext(above, INT))
        return builder.sext(whole, LONG), builder.fsub(coordinate, builder.sitofp(whole, FLOAT))

    def _within(self, number: Any, low: Any, high: Any) -> Any:
        """Whether low <= number < high."""
        return self.builder.and_(self.builder.fcmp_ordered(">=", number, low), self.builder.fcmp_ordered("<", number, high))

    def _pick(self, number: Any, choices: Sequence[Any]) -> Any:
        """The choice of this number."""
        picked = choices[-1]
        for index, choice in enumerate(choices[:-1]):
            picked = self.builder.select(self.builder.icmp_unsigned("==", number, LONG(index)), choice, picked)
        return picked

    def _spread(self, number: Any, lanes: int) -> Any:
        """One number in all lanes."""
        undefined = ir.Constant(ir.VectorType(FLOAT, lanes), ir.Undefined)
        single = self.builder.insert_element(undefined, number, INT(0))
        return self.builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(INT, lanes), [0] * lanes))

    def _vector(self, start: Any, index: Any, lanes: int) -> Any:
        """The place of a vector that begins with this number."""
        return self.builder.bitcast(self._at(start, index), ir.PointerType(ir.VectorType(FLOAT, lanes)))

    def _at(self, start: Any, index: Any) -> Any:
        return self.builder.gep(start, [index])

    def _offset(self, row: Any, row_stride: Any, column: Any, column_stride: Any) -> Any:
        return self.builder.add(self.builder.mul(row, row_stride), self.builder.mul(column, column_stride))


def _vectors(layouts: Sequence[Layout]) -> list[tuple[int, list[_Piece | None]]]:
    """The sums of a pixel as vectors: where each begins, and what it is made of; None is D, the last of all."""
    vectors: list[tuple[int, list[_Piece | None]]] = []
    place, room = 0, 0

    def enter(piece: _Piece | None, count: int) -> None:
        nonlocal place, room
        if not room:
            vectors.append((place, []))
            room = LANES
        vectors[-1][1].append(piece)
        place, room = place + count, room - count

    for value, layout in enumerate(layouts):
        begin = 0
        while begin < layout.channels:
            count = min(room or LANES, layout.channels - begin)
            enter(_Piece(value, begin, count), count)
            begin += count
    enter(None, 1)
    return vectors
