"""Machine code for the selective scan on this machine's CPU, through LLVM: the recurrence for a block of channels, in explicit vectors.

LLVM turns the vectors into whatever the CPU has (AVX-512, AVX2, SSE, NEON). Compiling takes a tenth of a second and leaves nothing on disk. Knows no
tensor; `kernel_llvmlite` does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from vsvfi.ops.llvm import FLOAT, INT, LONG, loop, machine_code

LANES = 16
"""Channels of one vector."""

VECTORS = 4
"""Vectors of a block: as many independent chains of arithmetic as hide its latency."""

WIDTH = LANES * VECTORS
"""Channels of a block."""

AHEAD = 2
"""How many positions early a token is asked for."""

_FLOATS, _INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)

_LOG2E = float(np.log2(np.e))
_LN2_HIGH = 0.693359375
"""So few digits that whole multiples of it are exact."""
_LN2_LOW = float(np.log(2.0)) - _LN2_HIGH
_ROUND = 1.5 * 2**23
"""Added to a float32 of moderate size, it leaves the nearest whole number in the low bits."""


def _polynomial(function: Callable[[Any], Any], degree: int, low: float, high: float) -> list[float]:
    """Coefficients for `function` on [low, high], highest power first."""
    fitted = np.polynomial.Chebyshev.interpolate(function, degree, domain=[low, high])
    return [float(coefficient) for coefficient in fitted.convert(kind=np.polynomial.Polynomial).coef[::-1]]


# 2^f = 1 + f * _EXP2(f) for |f| <= 1/2, exactly 1 at 0; log(1 + z) = z * _LOG1P(z) for 0 <= z <= 1. Both are off by less than 1e-8.
_EXP2 = _polynomial(lambda f: np.expm1(f * np.log(2.0)) / f, 5, -0.5, 0.5)
_LOG1P = _polynomial(lambda z: np.log1p(z) / z, 9, 0.0, 1.0)


class Lanes:
    """A vector of float32 in the code being built; arithmetic on it adds instructions. Products and sums may fuse, which is more exact."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fadd(self.value, self._like(other), flags=("contract",)))

    def __sub__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fsub(self.value, self._like(other), flags=("contract",)))

    def __mul__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fmul(self.value, self._like(other), flags=("contract",)))

    def at_least(self, bound: float) -> Lanes:
        """The larger of this and the bound; NaN becomes the bound."""
        above = self.builder.fcmp_ordered(">", self.value, self._like(bound))
        return Lanes(self.builder, self.builder.select(above, self.value, self._like(bound)))

    def where_negative(self, negative: Lanes | float, other: Lanes | float) -> Lanes:
        """`negative` where this is below 0, `other` elsewhere, also for NaN."""
        below = self.builder.fcmp_ordered("<", self.value, self._like(0.0))
        return Lanes(self.builder, self.builder.select(below, self._like(negative), self._like(other)))

    def horner(self, coefficients: Sequence[float]) -> Lanes:
        """The polynomial with these coefficients, highest power first."""
        value = self * coefficients[0] + coefficients[1]
        for coefficient in coefficients[2:]:
            value = value * self + coefficient
        return value

    def scaled(self, rounded: Lanes) -> Lanes:
        """This times 2^k, where `rounded` is k + _ROUND: k is added to the exponent. Both must stay in the normal range."""
        exponent = self.builder.shl(self.builder.bitcast(rounded.value, _INTS), _constants(INT, 23))
        bits = self.builder.add(self.builder.bitcast(self.value, _INTS), exponent)
        return Lanes(self.builder, self.builder.bitcast(bits, _FLOATS))

    def exp2(self) -> Lanes:
        """2^x for x up to 127; below 2^-125 it stays at that, which is nothing to a float32 state."""
        x = self.at_least(-125.0)
        rounded = x + _ROUND
        f = x - (rounded - _ROUND)
        return (f * f.horner(_EXP2) + 1.0).scaled(rounded)

    def softplus(self) -> Lanes:
        """log(1 + exp(v)) to float32 precision relative to its own size, however small."""
        x = self.where_negative(self, self * -1.0).at_least(-86.0)
        rounded = x * _LOG2E + _ROUND
        k = rounded - _ROUND
        f = (x - k * _LN2_HIGH - k * _LN2_LOW) * _LOG2E
        z = (f * f.horner(_EXP2) + 1.0).scaled(rounded)
        return self.where_negative(0.0, self) + z * z.horner(_LOG1P)

    def _like(self, other: Lanes | float) -> Any:
        return other.value if isinstance(other, Lanes) else _constants(FLOAT, float(np.float32(other)))


def _constants(kind: Any, value: float) -> Any:
    return ir.Constant(ir.VectorType(kind, LANES), [value] * LANES)


_POINTERS = ("u", "delta", "rates", "entering", "leaving", "skip", "bias", "reads", "writes", "state", "y")
_NUMBERS = ("length", "stride", "states")


def _build(softplus: bool) -> str:
    """Assembly of one function: one path, one block of channels. All strides but that of tokens are fixed; see `kernel_llvmlite` for the layouts."""
    module = ir.Module(name="vsvfi_scan")
    pointers = [ir.PointerType(INT if name in ("reads", "writes") else FLOAT) for name in _POINTERS]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [*pointers, *[LONG] * len(_NUMBERS)]), name="scan")
    given = dict(zip((*_POINTERS, *_NUMBERS), function.args, strict=True))
    builder = ir.IRBuilder(function.append_basic_block())

    def place(name: str, offset: Any) -> Any:
        return builder.gep(given[name], [offset])

    def load(name: str, offset: Any) -> Lanes:
        return Lanes(builder, builder.load(builder.bitcast(place(name, offset), ir.PointerType(_FLOATS)), align=4))

    def store(value: Lanes, name: str, offset: Any) -> None:
        builder.store(value.value, builder.bitcast(place(name, offset), ir.PointerType(_FLOATS)), align=4)

    def spread(name: str, offset: Any) -> Lanes:
        """One number in all lanes."""
        single = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), builder.load(place(name, offset)), INT(0))
        return Lanes(builder, builder.shuffle_vector(single, ir.Constant(_FLOATS, ir.Undefined), ir.Constant(_INTS, [0] * LANES)))

    def token(name: str, position: Any) -> Any:
        return builder.sext(builder.load(place(name, position)), LONG)

    prefetch = ir.Function(module, ir.FunctionType(ir.VoidType(), [ir.PointerType(ir.IntType(8)), INT, INT, INT]), name="llvm.prefetch.p0")

    def announce(name: str, offset: Any, write: int) -> None:
        """Bring this block's part of a token into the cache; tokens of a column lie too far apart for the CPU to guess."""
        for vector in range(VECTORS):
            start = builder.bitcast(place(name, builder.add(offset, LONG(LANES * vector))), ir.PointerType(ir.IntType(8)))
            builder.call(prefetch, [start, INT(write), INT(3), INT(1)])

    lanes = [LONG(LANES * vector) for vector in range(VECTORS)]
    zero = Lanes(builder, _constants(FLOAT, 0.0))
    with loop(builder, given["states"]) as (n, _, _):
        for lane in lanes:
            store(zero, "state", builder.add(builder.mul(n, LONG(WIDTH)), lane))
    with loop(builder, given["length"]) as (position, _, _):
        source = token("reads", position)
        row = builder.mul(source, given["stride"])
        later = builder.add(position, LONG(AHEAD))
        later = builder.select(builder.icmp_unsigned("<", later, given["length"]), later, position)
        for name, order in (("u", "reads"), ("delta", "reads"), ("y", "writes")):
            announce(name, builder.mul(token(order, later), given["stride"]), int(name == "y"))
        values = [load("u", builder.add(row, lane)) for lane in lanes]
        steps = [load("delta", builder.add(row, lane)) + load("bias", lane) for lane in lanes]
        steps = [step.softplus() for step in steps] if softplus else steps
        gains = [step * value for step, value in zip(steps, values, strict=True)]
        totals = [load("skip", lane) * value for lane, value in zip(lanes, values, strict=True)]
        shared = builder.mul(source, given["states"])
        with loop(builder, given["states"], [total.value for total in totals]) as (n, sums, next_sums):
            entering, leaving = (spread(name, builder.add(shared, n)) for name in ("entering", "leaving"))
            first = builder.mul(n, LONG(WIDTH))
            for lane, step, gain, total in zip(lanes, steps, gains, sums, strict=True):
                offset = builder.add(first, lane)
                state = (step * load("rates", offset)).exp2() * load("state", offset) + gain * entering
                store(state, "state", offset)
                next_sums.append((state * leaving + Lanes(builder, total)).value)
        place_of = builder.mul(token("writes", position), given["stride"])
        for lane, total in zip(lanes, next_sums, strict=True):
            offset = builder.add(place_of, lane)
            store(load("y", offset) + Lanes(builder, total), "y", offset)
    builder.ret_void()
    return str(module)


@functools.cache
def compiled(softplus: bool) -> Callable[..., None]:
    """The function, called without the GIL: addresses as in _POINTERS, then _NUMBERS.

    Raises:
        RuntimeError: LLVM cannot make code for this machine.
    """
    return machine_code(_build(softplus), "scan", len(_POINTERS), len(_NUMBERS))
