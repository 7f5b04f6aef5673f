"""Machine code for the deformable separable convolution on this machine's CPU, through LLVM: a band of rows of one picture.

All channels of a sample are one vector of four numbers, so the picture lies with four numbers a pixel, already continued by its border. Products and sums
are rounded one by one, in the order of the taps, so results do not depend on how rows are split. Knows no tensor; `kernel_llvmlite` does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from vsvfi.ops.llvm import FLOAT, INT, LONG, loop, machine_code

LANES = 4
"""Numbers of a pixel in memory; those beyond its channels are not looked at."""

TAPS = 5

MAPS = ("vertical", "horizontal", "alpha", "beta", "mask")

POINTERS = ("picture", "result", *MAPS)
"""Addresses: the continued picture [H, W, 4], the dense result [h, w, C], and the maps of one picture."""

NUMBERS = ("height", "width", "columns", "top", "left", "begin", "end", *(f"{name}_{axis}" for name in MAPS for axis in ("channel", "row", "column")))
"""Size of the continued picture, columns of the result, its place in the picture, the band's first row and the one behind its last, strides of the maps."""


@functools.cache
def compiled(channels: int) -> Callable[..., None]:
    """The function, called without the GIL: addresses as in POINTERS, then NUMBERS. Fills the rows of its band. No band may be empty.

    Args:
        channels: of the picture, 1 to 4.

    Raises:
        RuntimeError: LLVM cannot make code for this machine.
    """
    return machine_code(_Band(channels).assembly(), "sepconv", len(POINTERS), len(NUMBERS))


class _Band:
    """The function being built."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.module = ir.Module(name="vsvfi_sepconv")
        signature = ir.FunctionType(ir.VoidType(), [*[ir.PointerType(FLOAT)] * len(POINTERS), *[LONG] * len(NUMBERS)])
        function = ir.Function(self.module, signature, name="sepconv")
        self.given = dict(zip((*POINTERS, *NUMBERS), function.args, strict=True))
        self.builder = ir.IRBuilder(function.append_basic_block())

    def assembly(self) -> str:
        """The whole module."""
        builder, given = self.builder, self.given
        last = {axis: builder.sitofp(builder.sub(given[name], LONG(1)), FLOAT) for axis, name in (("y", "height"), ("x", "width"))}
        with loop(builder, builder.sub(given["end"], given["begin"])) as (number, _, _):
            row = builder.add(given["begin"], number)
            y = builder.sitofp(builder.add(given["top"], row), FLOAT)
            with loop(builder, given["columns"]) as (column, _, _):
                x = builder.sitofp(builder.add(given["left"], column), FLOAT)
                self._pixel(row, column, y, x, last)
        builder.ret_void()
        return str(self.module)

    def _pixel(self, row: Any, column: Any, y: Any, x: Any, last: dict[str, Any]) -> None:
        """One pixel of the result: the sum over all taps."""
        builder, given = self.builder, self.given
        maps = {name: self._at(given[name], self._offset(name, row, column)) for name in MAPS}
        vector = ir.VectorType(FLOAT, LANES)
        with loop(builder, LONG(TAPS), [ir.Constant(vector, [0.0] * LANES)]) as (i, (total,), following):
            vertical = self._tap(maps, "vertical", i)
            down = builder.sitofp(i, FLOAT)
            for j in range(TAPS):
                k = builder.add(builder.mul(i, LONG(TAPS)), LONG(j))
                weight = builder.fmul(builder.fmul(vertical, self._tap(maps, "horizontal", LONG(j))), self._tap(maps, "mask", k))
                above, below, upper, lower = self._neighbours(self._place(self._tap(maps, "alpha", k), y, down), last["y"])
                before, behind, nearer, farther = self._neighbours(self._place(self._tap(maps, "beta", k), x, FLOAT(float(j))), last["x"])
                columns, rows = ((before, nearer), (behind, farther)), []
                for line in (above, below):
                    start = builder.mul(line, given["width"])
                    near, far = (builder.fmul(self._load(builder.add(start, place)), self._spread(share)) for place, share in columns)
                    rows.append(builder.fadd(near, far))
                sample = builder.fadd(builder.fmul(rows[0], self._spread(upper)), builder.fmul(rows[1], self._spread(lower)))
                total = builder.fadd(total, builder.fmul(sample, self._spread(weight)))
            following.append(total)
        place = builder.mul(builder.add(builder.mul(row, given["columns"]), column), LONG(self.channels))
        for channel in range(self.channels):
            builder.store(builder.extract_element(following[0], INT(channel)), self._at(given["result"], builder.add(place, LONG(channel))))

    def _place(self, offset: Any, pixel: Any, tap: Any) -> Any:
        """Where a tap samples along an axis, summed as the definition sums."""
        builder = self.builder
        moved = builder.fadd(builder.fadd(offset, pixel), tap)
        return builder.fadd(builder.fsub(moved, FLOAT(2.0)), FLOAT(1.0))

    def _neighbours(self, place: Any, last: Any) -> tuple[Any, Any, Any, Any]:
        """The samples around a place and what each counts; outside both are the border, which counts twice. NaN gets an index, and NaN as weights."""
        builder, zero, one = self.builder, FLOAT(0.0), FLOAT(1.0)
        below = builder.fcmp_ordered("<", place, zero)
        inside = builder.select(below, zero, builder.select(builder.fcmp_ordered(">", place, last), last, place))
        outside = builder.or_(below, builder.fcmp_ordered(">=", place, last))
        first = builder.fptosi(builder.select(builder.fcmp_ordered("ord", inside, zero), inside, zero), INT)  # towards zero: it is not negative
        second = builder.add(first, builder.select(outside, INT(0), INT(1)))
        shares = [builder.fsub(builder.sitofp(sample, FLOAT), inside) for sample in (first, second)]
        return builder.sext(first, LONG), builder.sext(second, LONG), builder.fadd(one, shares[0]), builder.fsub(one, shares[1])

    def _offset(self, name: str, row: Any, column: Any) -> Any:
        builder, given = self.builder, self.given
        return builder.add(builder.mul(row, given[f"{name}_row"]), builder.mul(column, given[f"{name}_column"]))

    def _tap(self, maps: dict[str, Any], name: str, tap: Any) -> Any:
        """A map's number for a tap of this pixel."""
        return self.builder.load(self._at(maps[name], self.builder.mul(tap, self.given[f"{name}_channel"])))

    def _load(self, pixel: Any) -> Any:
        """All channels of a pixel of the picture."""
        place = self._at(self.given["picture"], self.builder.mul(pixel, LONG(LANES)))
        return self.builder.load(self.builder.bitcast(place, ir.PointerType(ir.VectorType(FLOAT, LANES))), align=4)

    def _spread(self, number: Any) -> Any:
        """One number in all lanes."""
        undefined = ir.Constant(ir.VectorType(FLOAT, LANES), ir.Undefined)
        single = self.builder.insert_element(undefined, number, INT(0))
        return self.builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(INT, LANES), [0] * LANES))

    def _at(self, start: Any, index: Any) -> Any:
        return self.builder.gep(start, [index])
