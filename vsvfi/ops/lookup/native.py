"""Machine code for the look-up on this machine's CPU, through LLVM: one level of one picture for a range of source pixels.

The patch that a window can touch, (2 radius + 2)^2 values of a volume or products of features, is put into a small buffer with x as the slow index, which
is the order of the result; two blends of whole rows of it, in explicit vectors, make the window. Knows no tensor; `kernel_llvmlite` does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from vsvfi.ops.llvm import FLOAT, INT, LONG, loop, machine_code

LANES = 16
"""Values of a vector, and the largest side of a patch."""

UNROLLED = 4
"""Vectors of a product that are summed side by side; features come padded to a multiple of this many vectors."""

POINTERS = ("values", "sources", "columns", "rows", "right", "below", "result")
"""Addresses: the volume or the target's features; the source's features (not read for a volume); for every source pixel the patch's first column and row as
64-bit numbers, and the two fractions; where the first window goes."""

NUMBERS = ("depth", "height", "width", "stride", "begin", "end")
"""Channels of the features, the level's size, numbers from one window to the next, the first source pixel and the one behind the last."""


@functools.cache
def compiled(radius: int, on_demand: bool) -> Callable[..., None]:
    """The function, called without the GIL: addresses as in POINTERS, then NUMBERS.

    Args:
        radius: of the window, 7 at most.
        on_demand: whether values are products of features; else they are read from a volume.

    Raises:
        RuntimeError: LLVM cannot make code for this machine.
    """
    return machine_code(_Windows(radius, on_demand).assembly(), "lookup", len(POINTERS), len(NUMBERS))


class _Windows:
    """The function being built."""

    def __init__(self, radius: int, on_demand: bool) -> None:
        self.side, self.on_demand = 2 * radius + 1, on_demand
        self.module = ir.Module(name="vsvfi_lookup")
        pointers = [ir.PointerType(LONG if name in ("columns", "rows") else FLOAT) for name in POINTERS]
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [*pointers, *[LONG] * len(NUMBERS)]), name="lookup")
        self.given = dict(zip((*POINTERS, *NUMBERS), function.args, strict=True))
        self.builder = ir.IRBuilder(function.append_basic_block())

    def assembly(self) -> str:
        """The whole module. There must be a source pixel at least."""
        builder, given = self.builder, self.given
        patch = builder.alloca(FLOAT, LONG((self.side + 1) * LANES))
        with loop(builder, builder.sub(given["end"], given["begin"])) as (index, _, _):
            source = builder.add(given["begin"], index)
            left, top = (builder.load(self._at(given[name], source)) for name in ("columns", "rows"))
            right, below = (builder.load(self._at(given[name], source)) for name in ("right", "below"))
            for column in range(self.side + 1):
                builder.store(ir.Constant(ir.VectorType(FLOAT, LANES), [0.0] * LANES), self._vector(patch, LONG(column * LANES)), align=4)
            self._fill(patch, source, left, top)
            self._blend(patch, source, right, below)
        builder.ret_void()
        return str(self.module)

    def _fill(self, patch: Any, source: Any, left: Any, top: Any) -> None:
        """The patch's values where they lie inside; the rest stays 0."""
        builder, given, side = self.builder, self.given, LONG(self.side + 1)
        with loop(builder, side) as (i, _, _):
            row = builder.add(top, i)
            with builder.if_then(builder.icmp_unsigned("<", row, given["height"])), loop(builder, side) as (j, _, _):  # -1 is a huge number without a sign
                column = builder.add(left, j)
                with builder.if_then(builder.icmp_unsigned("<", column, given["width"])):
                    place = builder.add(builder.mul(row, given["width"]), column)
                    value = self._product(source, place) if self.on_demand else self._read(source, place)
                    builder.store(value, self._at(patch, builder.add(builder.mul(j, LONG(LANES)), i)))

    def _read(self, source: Any, place: Any) -> Any:
        """The volume's value for a source pixel and a target pixel."""
        builder, given = self.builder, self.given
        start = builder.mul(source, builder.mul(given["height"], given["width"]))
        return builder.load(self._at(given["values"], builder.add(start, place)))

    def _product(self, source: Any, place: Any) -> Any:
        """The product of a source pixel's features and a target pixel's."""
        builder, given = self.builder, self.given
        own, other = (self._at(given[name], builder.mul(pixel, given["depth"])) for name, pixel in (("sources", source), ("values", place)))
        zero = ir.Constant(ir.VectorType(FLOAT, LANES), [0.0] * LANES)
        with loop(builder, builder.udiv(given["depth"], LONG(UNROLLED * LANES)), [zero] * UNROLLED) as (index, sums, leaving):
            for number, total in enumerate(sums):
                channel = builder.add(builder.mul(index, LONG(UNROLLED * LANES)), LONG(number * LANES))
                one, two = (builder.load(self._vector(features, channel), align=4) for features in (own, other))
                leaving.append(builder.fadd(total, builder.fmul(one, two, flags=("contract",)), flags=("contract",)))
        first, second = builder.fadd(leaving[0], leaving[1]), builder.fadd(leaving[2], leaving[3])
        total, lanes = builder.fadd(first, second), LANES
        while lanes > 1:
            lanes //= 2
            halves = [self._lanes(total, range(start, start + lanes)) for start in (0, lanes)]
            total = builder.fadd(*halves)
        return builder.extract_element(total, INT(0))

    def _blend(self, patch: Any, source: Any, right: Any, below: Any) -> None:
        """The window from its patch."""
        builder = self.builder
        rightwards, downwards = self._spread(right), self._spread(below)
        ones = ir.Constant(ir.VectorType(FLOAT, LANES), [1.0] * LANES)
        leftwards, upwards = builder.fsub(ones, rightwards), builder.fsub(ones, downwards)
        columns = [builder.load(self._vector(patch, LONG(column * LANES)), align=4) for column in range(self.side + 1)]
        start = self._at(self.given["result"], builder.mul(source, self.given["stride"]))
        for column in range(self.side):
            across = builder.fadd(builder.fmul(columns[column], leftwards), builder.fmul(columns[column + 1], rightwards))
            lower = self._lanes(across, [*range(1, LANES), LANES - 1])
            self._store(builder.fadd(builder.fmul(across, upwards), builder.fmul(lower, downwards)), start, column * self.side)

    def _store(self, values: Any, start: Any, offset: int) -> None:
        """The first `side` values, in pieces that are vectors."""
        begin, size = 0, LANES
        while size:
            if self.side & size:
                piece = self._lanes(values, range(begin, begin + size))
                place = self.builder.bitcast(self._at(start, LONG(offset + begin)), ir.PointerType(ir.VectorType(FLOAT, size)))
                self.builder.store(piece, place, align=4)
                begin += size
            size //= 2

    def _lanes(self, vector: Any, which: Sequence[int]) -> Any:
        """A vector of some lanes of another."""
        undefined = ir.Constant(vector.type, ir.Undefined)
        return self.builder.shuffle_vector(vector, undefined, ir.Constant(ir.VectorType(INT, len(which)), list(which)))

    def _spread(self, number: Any) -> Any:
        """One number in all lanes."""
        undefined = ir.Constant(ir.VectorType(FLOAT, LANES), ir.Undefined)
        return self._lanes(self.builder.insert_element(undefined, number, INT(0)), [0] * LANES)

    def _vector(self, start: Any, index: Any) -> Any:
        """The place of a vector that begins with this number."""
        return self.builder.bitcast(self._at(start, index), ir.PointerType(ir.VectorType(FLOAT, LANES)))

    def _at(self, start: Any, index: Any) -> Any:
        return self.builder.gep(start, [index])
