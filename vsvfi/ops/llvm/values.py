"""Symbolic values of kernels: integers, floats and float vectors, booleans, bit patterns.

Arithmetic on them emits instructions.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

FLOAT, INT, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)


@dataclass(slots=True)
class Block:
    """The insertion point for instructions.

    Attributes:
        builder: appends instructions.
        fusing: whether multiplications and additions may be fused.
    """

    builder: ir.IRBuilder
    fusing: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """LLVM's fast-math flags for float operations."""
        return ("contract",) if self.fusing else ()


@dataclass(frozen=True, slots=True)
class Bool:
    """A boolean, or one for each lane of a vector."""

    block: Block
    value: ir.Value

    def __and__(self, other: Bool) -> Bool:
        return Bool(self.block, self.block.builder.and_(self.value, other.value))

    def __or__(self, other: Bool) -> Bool:
        return Bool(self.block, self.block.builder.or_(self.value, other.value))

    def __invert__(self) -> Bool:
        return Bool(self.block, self.block.builder.not_(self.value))

    def where(self, condition: Bool, other: Bool | float) -> Bool:
        """See `select`."""
        assert isinstance(other, Bool)
        return Bool(self.block, self.block.builder.select(condition.value, self.value, other.value))

    def to_int(self) -> Int:
        """1 or 0."""
        return Int(self.block, self.block.builder.zext(self.value, LONG))


@dataclass(frozen=True, slots=True)
class Int:
    """A 64-bit integer."""

    block: Block
    value: ir.Value

    def __add__(self, other: Int | int) -> Int:
        return Int(self.block, self.block.builder.add(self.value, _whole(other)))

    def __sub__(self, other: Int | int) -> Int:
        return Int(self.block, self.block.builder.sub(self.value, _whole(other)))

    def __mul__(self, other: Int | int) -> Int:
        return Int(self.block, self.block.builder.mul(self.value, _whole(other)))

    def __floordiv__(self, other: int) -> Int:
        """Floor division; this number must not be negative."""
        return Int(self.block, self.block.builder.udiv(self.value, _whole(other)))

    def equals(self, other: Int | int) -> Bool:
        """Whether both are the same number."""
        return Bool(self.block, self.block.builder.icmp_unsigned("==", self.value, _whole(other)))

    def inside(self, length: Int | int) -> Bool:
        """Whether 0 <= this < length, in one unsigned comparison."""
        return Bool(self.block, self.block.builder.icmp_unsigned("<", self.value, _whole(length)))

    def where(self, condition: Bool, other: Int | float) -> Int:
        """See `select`."""
        no = other if isinstance(other, Int) else int(other)
        return Int(self.block, self.block.builder.select(condition.value, self.value, _whole(no)))

    def to_float(self) -> Float:
        """The nearest float32."""
        return Float(self.block, self.block.builder.sitofp(self.value, FLOAT))


@dataclass(frozen=True, slots=True)
class Float:
    """A float32, or a vector of them.

    Scalars broadcast to vectors; comparisons with NaN are false.
    """

    block: Block
    value: ir.Value

    @property
    def lanes(self) -> int:
        """Numbers in the vector; 1 for a single number."""
        return lanes_of(self.value)

    def __add__(self, other: Float | float) -> Float:
        one, two = self.beside(other)
        return Float(self.block, self.block.builder.fadd(one, two, flags=self.block.flags))

    def __sub__(self, other: Float | float) -> Float:
        one, two = self.beside(other)
        return Float(self.block, self.block.builder.fsub(one, two, flags=self.block.flags))

    def __radd__(self, other: float) -> Float:
        return Float(self.block, self.block.builder.fadd(self._constant(other), self.value, flags=self.block.flags))

    def __rsub__(self, other: float) -> Float:
        return Float(self.block, self.block.builder.fsub(self._constant(other), self.value, flags=self.block.flags))

    def __mul__(self, other: Float | float) -> Float:
        one, two = self.beside(other)
        return Float(self.block, self.block.builder.fmul(one, two, flags=self.block.flags))

    def __truediv__(self, other: Float | float) -> Float:
        one, two = self.beside(other)
        return Float(self.block, self.block.builder.fdiv(one, two, flags=self.block.flags))

    def __neg__(self) -> Float:
        return Float(self.block, self.block.builder.fneg(self.value))

    def __lt__(self, other: Float | float) -> Bool:
        return self._compare("<", other)

    def __gt__(self, other: Float | float) -> Bool:
        return self._compare(">", other)

    def __ge__(self, other: Float | float) -> Bool:
        return self._compare(">=", other)

    def equals(self, other: Float | float) -> Bool:
        """Whether both are the same number."""
        return self._compare("==", other)

    def differs(self, other: Float | float) -> Bool:
        """Whether both are numbers, and not the same."""
        return self._compare("!=", other)

    def within(self, low: Float | float, high: Float | float) -> Bool:
        """Whether low <= this < high."""
        return (self >= low) & (self < high)

    def where(self, condition: Bool, other: Float | float) -> Float:
        """See `select`."""
        yes, no = self.beside(other)
        return Float(self.block, self.block.builder.select(condition.value, yes, no))

    def is_nan(self) -> Bool:
        """Whether this is not a number."""
        return Bool(self.block, self.block.builder.fcmp_unordered("uno", self.value, self.value))

    def absolute(self) -> Float:
        """The absolute value."""
        return select(self < 0.0, -self, self)

    def at_least(self, bound: float) -> Float:
        """The larger of this and the bound; NaN becomes the bound."""
        return select(self > bound, self, self._like(bound))

    def truncated(self) -> Int:
        """Rounded towards zero; undefined if out of range."""
        return Int(self.block, self.block.builder.fptosi(self.value, LONG))

    def floor(self) -> Int:
        """Rounded down; undefined if out of range."""
        whole = self.truncated()
        return whole - (whole.to_float() > self).to_int()

    def broadcast(self, lanes: int) -> Float:
        """A vector with this number in every lane."""
        if lanes == 1:
            return self
        undefined = ir.Constant(ir.VectorType(FLOAT, lanes), ir.Undefined)
        single = self.block.builder.insert_element(undefined, self.value, INT(0))
        return Float(self.block, self.block.builder.shuffle_vector(single, undefined, _indices([0] * lanes)))

    def lane(self, index: int) -> Float:
        """One number of the vector."""
        if self.lanes == 1:
            return self
        return Float(self.block, self.block.builder.extract_element(self.value, INT(index)))

    def pick(self, lanes: Sequence[int]) -> Float:
        """The vector of these lanes, in this order."""
        if list(lanes) == list(range(self.lanes)):
            return self
        if self.lanes == 1:
            return self.broadcast(len(lanes))
        if len(lanes) == 1:
            return self.lane(lanes[0])
        undefined = ir.Constant(self.value.type, ir.Undefined)
        return Float(self.block, self.block.builder.shuffle_vector(self.value, undefined, _indices(lanes)))

    def joined(self, other: Float) -> Float:
        """Concatenate the lanes of both vectors."""
        before, total = self.lanes, self.lanes + other.lanes
        wide = [vector.pick([lane if lane < vector.lanes else 0 for lane in range(total)]) for vector in (self, other)]
        order = _indices([*range(before), *range(total, total + other.lanes)])
        return Float(self.block, self.block.builder.shuffle_vector(wide[0].value, wide[1].value, order))

    def bits(self) -> Bits:
        """The pattern of 32 bits in every lane."""
        return Bits(self.block, self.block.builder.bitcast(self.value, type_of(INT, self.lanes)))

    def _compare(self, sign: str, other: Float | float) -> Bool:
        one, two = self.beside(other)
        return Bool(self.block, self.block.builder.fcmp_ordered(sign, one, two))

    def beside(self, other: Float | float) -> tuple[ir.Value, ir.Value]:
        """Both as LLVM values, broadcast to the same number of lanes."""
        if not isinstance(other, Float):
            return self.value, self._constant(other)
        lanes = max(self.lanes, other.lanes)
        one, two = (number if number.lanes == lanes else number.broadcast(lanes) for number in (self, other))
        return one.value, two.value

    def _constant(self, number: float) -> ir.Value:
        return float_constant(number, self.lanes)

    def _like(self, number: float) -> Float:
        return Float(self.block, self._constant(number))


@dataclass(frozen=True, slots=True)
class Bits:
    """A pattern of 32 bits, or a vector of them."""

    block: Block
    value: ir.Value

    @property
    def lanes(self) -> int:
        """Patterns in the vector; 1 for a single one."""
        return lanes_of(self.value)

    def __add__(self, other: Bits | int) -> Bits:
        return Bits(self.block, self.block.builder.add(self.value, self._same(other)))

    def __and__(self, other: Bits | int) -> Bits:
        return Bits(self.block, self.block.builder.and_(self.value, self._same(other)))

    def __lshift__(self, places: int) -> Bits:
        return Bits(self.block, self.block.builder.shl(self.value, self._same(places)))

    def __rshift__(self, places: int) -> Bits:
        return Bits(self.block, self.block.builder.lshr(self.value, self._same(places)))

    def where(self, condition: Bool, other: Bits | float) -> Bits:
        """See `select`."""
        no = other if isinstance(other, Bits) else int(other)
        return Bits(self.block, self.block.builder.select(condition.value, self.value, self._same(no)))

    def as_float(self) -> Float:
        """The floats with these patterns."""
        return Float(self.block, self.block.builder.bitcast(self.value, type_of(FLOAT, self.lanes)))

    def _same(self, other: Bits | int) -> ir.Value:
        return other.value if isinstance(other, Bits) else _constant(INT, other, self.lanes)


def select[Value: (Bool, Int, Float, Bits)](condition: Bool, yes: Value, no: Value | float) -> Value:
    """`yes` if the condition holds, else `no`; per lane for vectors."""
    return yes.where(condition, no)


def pick[Value: (Bool, Int, Float)](number: Int, choices: Sequence[Value]) -> Value:
    """Select the choice with this index, from 0."""
    picked = choices[-1]
    for index, choice in enumerate(choices[:-1]):
        picked = select(number.equals(index), choice, picked)
    return picked


def float_constant(number: float, lanes: int = 1) -> ir.Value:
    """The nearest float32, in every lane."""
    (nearest,) = struct.unpack("f", struct.pack("f", number))
    return _constant(FLOAT, nearest, lanes)


def type_of(element: ir.Type, lanes: int) -> ir.Type:
    """One element, or a vector of so many."""
    return element if lanes == 1 else ir.VectorType(element, lanes)


def lanes_of(value: ir.Value) -> int:
    """Elements of a vector; 1 of anything else."""
    return int(value.type.count) if isinstance(value.type, ir.VectorType) else 1


def _constant(element: ir.Type, number: float, lanes: int) -> ir.Value:
    return element(number) if lanes == 1 else ir.Constant(ir.VectorType(element, lanes), [number] * lanes)


def _whole(number: Int | int) -> ir.Value:
    return number.value if isinstance(number, Int) else LONG(number)


def _indices(lanes: Sequence[int]) -> ir.Value:
    return ir.Constant(ir.VectorType(INT, len(lanes)), list(lanes))
