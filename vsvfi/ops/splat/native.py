"""Machine code for splatting on this machine's CPU, through LLVM: one band of target rows of one picture, all values that share a displacement.

Runs through the source pixels in the order of rows and columns and adds to the targets of its band alone, so every sum has one order however many bands
there are. Channels go in explicit vectors, which LLVM turns into whatever the CPU has. Products and sums are rounded one by one, so that a target has the
same bits whichever way its source came. Knows no tensor; `kernel_llvmlite` does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from vsvfi.ops.llvm import FLOAT, INT, LONG, loop, machine_code

LANES = 16
"""Channels of the widest vector; what remains goes in one of 8, 4, 2 and 1 as needed."""

FIELDS = ("source", "source_row", "source_column", "result", "channels")
"""What the code is told about each value, as 64-bit numbers: address and strides (in numbers) of the picture, address of the dense result, channels."""

POINTERS = ("values", "x", "y", "low", "high", "weight", "total")
"""Addresses: the fields of all values; displacements in x and y; smallest and largest displacement in y of every row; weights; the plane of D."""

NUMBERS = ("count", "row", "column", "weight_row", "weight_column", "height", "width", "begin", "end")
"""The number of values, strides of displacements and weights, the picture's size, the band's first row and the one behind its last."""


@functools.cache
def compiled(weighted: bool) -> Callable[..., None]:
    """The function, called without the GIL: addresses as in POINTERS, then NUMBERS. Fills the rows of its band in all results and in D.

    Args:
        weighted: whether sources have weights; without them their address and strides mean nothing.

    Raises:
        RuntimeError: LLVM cannot make code for this machine.
    """
    return machine_code(_Band(weighted).assembly(), "splat", len(POINTERS), len(NUMBERS))


class _Band:
    """The function being built."""

    def __init__(self, weighted: bool) -> None:
        self.weighted = weighted
        self.module = ir.Module(name="vsvfi_splat")
        pointers = [ir.PointerType(LONG if name == "values" else FLOAT) for name in POINTERS]
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [*pointers, *[LONG] * len(NUMBERS)]), name="splat")
        self.given = dict(zip((*POINTERS, *NUMBERS), function.args, strict=True))
        self.builder = ir.IRBuilder(function.append_basic_block())

    def assembly(self) -> str:
        """The whole module. Loops need at least one round: no band, picture or value may be empty."""
        builder, given = self.builder, self.given
        first, pixels = (builder.mul(number, given["width"]) for number in (given["begin"], builder.sub(given["end"], given["begin"])))
        self._clear(self._at(given["total"], first), pixels)
        with loop(builder, given["count"]) as (value, _, _):
            _, _, _, result, channels = self._fields(value)
            self._clear(self._at(result, builder.mul(first, channels)), builder.mul(pixels, channels))
        begin, end = (builder.sitofp(builder.sub(given[name], LONG(back)), FLOAT) for name, back in (("begin", 1), ("end", 0)))
        with loop(builder, given["height"]) as (row, _, _):
            top = builder.uitofp(row, FLOAT)
            low, high = (builder.fadd(builder.load(self._at(given[name], row)), top) for name in ("low", "high"))
            # True for NaN: a row with what is not finite is looked through pixel by pixel.
            near = builder.and_(builder.fcmp_unordered("<", low, end), builder.fcmp_unordered(">=", high, begin))
            with builder.if_then(near), loop(builder, given["width"]) as (column, _, _):
                self._source(row, top, column, begin, end)
        with loop(builder, pixels) as (index, _, _):
            pixel = builder.add(first, index)
            total = builder.load(self._at(given["total"], pixel))
            divisor = builder.select(builder.fcmp_ordered("==", total, FLOAT(0.0)), FLOAT(1.0), total)
            with loop(builder, given["count"]) as (value, _, _):
                self._divide(value, pixel, divisor)
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
        corner = builder.add(builder.mul(above, given["width"]), left)
        below = builder.add(corner, given["width"])
        targets = [corner, builder.add(corner, LONG(1)), below, builder.add(below, LONG(1))]
        with builder.if_else(functools.reduce(builder.and_, reached)) as (all_four, some):
            with all_four:
                self._add(row, column, targets, shares)
            with some, loop(builder, LONG(4)) as (number, _, _), builder.if_then(self._pick(number, reached)):
                self._add(row, column, [self._pick(number, targets)], [self._pick(number, shares)])

    def _add(self, row: Any, column: Any, targets: Sequence[Any], shares: Sequence[Any]) -> None:
        """A source's part in the sums of distinct targets."""
        builder, given = self.builder, self.given
        for target, share in zip(targets, shares, strict=True):
            place = self._at(given["total"], target)
            builder.store(builder.fadd(builder.load(place), share), place)
        with loop(builder, given["count"]) as (value, _, _):
            source, source_row, source_column, result, channels = self._fields(value)
            source = self._at(source, self._offset(row, source_row, column, source_column))
            results = [self._at(result, builder.mul(target, channels)) for target in targets]

            def add(channel: Any, lanes: int) -> None:
                values, places = self._vector(source, channel, lanes), [self._vector(result, channel, lanes) for result in results]
                loaded = builder.load(values, align=4)
                sums = [builder.load(place, align=4) for place in places]
                parts = [builder.fmul(loaded, self._spread(share, lanes)) for share in shares]
                for place, total, part in zip(places, sums, parts, strict=True):
                    builder.store(builder.fadd(total, part), place, align=4)

            self._channels(channels, add)

    def _divide(self, value: Any, pixel: Any, divisor: Any) -> None:
        """A becomes A / D in one pixel of one value."""
        builder = self.builder
        _, _, _, result, channels = self._fields(value)
        result = self._at(result, builder.mul(pixel, channels))

        def divide(channel: Any, lanes: int) -> None:
            place = self._vector(result, channel, lanes)
            builder.store(builder.fdiv(builder.load(place, align=4), self._spread(divisor, lanes)), place, align=4)

        self._channels(channels, divide)

    def _clear(self, start: Any, count: Any) -> None:
        """Zeros from here on."""

        def clear(index: Any, lanes: int) -> None:
            zeros = ir.Constant(ir.VectorType(FLOAT, lanes), [0.0] * lanes)
            self.builder.store(zeros, self._vector(start, index, lanes), align=4)

        self._channels(count, clear)

    def _channels(self, count: Any, emit: Callable[[Any, int], None]) -> None:
        """What `emit` makes of an index and a number of lanes, for vectors that cover `count` numbers."""
        builder = self.builder
        whole = builder.lshr(count, LONG(LANES.bit_length() - 1))
        with builder.if_then(builder.icmp_unsigned("!=", whole, LONG(0))), loop(builder, whole) as (index, _, _):
            emit(builder.mul(index, LONG(LANES)), LANES)
        lanes = LANES // 2
        while lanes:
            with builder.if_then(builder.icmp_unsigned("!=", builder.and_(count, LONG(lanes)), LONG(0))):
                emit(builder.and_(count, LONG(-2 * lanes)), lanes)
            lanes //= 2

    def _fields(self, value: Any) -> list[Any]:
        """FIELDS of a value; addresses as pointers."""
        builder = self.builder
        start = builder.mul(value, LONG(len(FIELDS)))
        fields = [builder.load(self._at(self.given["values"], builder.add(start, LONG(number)))) for number in range(len(FIELDS))]
        return [builder.inttoptr(field, ir.PointerType(FLOAT)) if name in ("source", "result") else field for name, field in zip(FIELDS, fields, strict=True)]

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
