"""Arrays of float32, bfloat16 and integers that kernels read and write by index, without bounds checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

from llvmlite import ir

from vsvfi.ops.llvm.values import FLOAT, INT, LONG, Bits, Block, Float, Int, select, type_of

_HALF = ir.IntType(16)


@dataclass(frozen=True, slots=True)
class Pointer:
    """The start of an array."""

    element: ClassVar[ir.Type]
    block: Block
    value: ir.Value

    def at(self, index: Int | int) -> Self:
        """The array from this element on."""
        place = index.value if isinstance(index, Int) else LONG(index)
        return type(self)(self.block, self.block.builder.gep(self.value, [place]))

    def prefetch(self, write: bool = False) -> None:
        """Prefetch the cache line of the first element for reading or writing."""
        builder, byte = self.block.builder, ir.PointerType(ir.IntType(8))
        function = builder.module.globals.get("llvm.prefetch.p0")
        if function is None:
            function = ir.Function(
                builder.module, ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT]), name="llvm.prefetch.p0"
            )
        builder.call(function, [builder.bitcast(self.value, byte), INT(int(write)), INT(3), INT(1)])


class FloatPointer(Pointer, ABC):
    """Floats, accessed one by one or as vectors of consecutive elements."""

    @abstractmethod
    def load(self, lanes: int) -> Float:
        """Load the first elements as a vector."""

    @abstractmethod
    def store(self, vector: Float) -> None:
        """Store a vector to the first elements."""


class F32Pointer(FloatPointer):
    """32-bit floats."""

    element = FLOAT

    def __getitem__(self, index: Int | int) -> Float:
        return Float(self.block, self.block.builder.load(self.at(index).value))

    def __setitem__(self, index: Int | int, number: Float) -> None:
        self.block.builder.store(number.value, self.at(index).value)

    def load(self, lanes: int) -> Float:
        return Float(self.block, self.block.builder.load(_as_vector(self, FLOAT, lanes), align=4))

    def store(self, vector: Float) -> None:
        self.block.builder.store(vector.value, _as_vector(self, FLOAT, vector.lanes), align=4)


class BF16Pointer(FloatPointer):
    """bfloat16: the upper 16 bits of a float32."""

    element = _HALF

    def load(self, lanes: int) -> Float:
        builder = self.block.builder
        halves = builder.load(_as_vector(self, _HALF, lanes), align=2)
        return (Bits(self.block, builder.zext(halves, type_of(INT, lanes))) << 16).as_float()

    def store(self, vector: Float) -> None:
        """Store a vector, rounded to nearest even.

        NaN becomes a quiet NaN, since rounding could turn it into infinity.
        """
        builder, bits = self.block.builder, vector.bits()
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        rounded = select(~vector.is_nan(), rounded, 0x7FC0)
        halves = builder.trunc(rounded.value, type_of(_HALF, vector.lanes))
        builder.store(halves, _as_vector(self, _HALF, vector.lanes), align=2)


class I32Pointer(Pointer):
    """32-bit integers."""

    element = INT

    def __getitem__(self, index: Int | int) -> Int:
        return Int(self.block, self.block.builder.sext(self.block.builder.load(self.at(index).value), LONG))


class I64Pointer(Pointer):
    """64-bit integers."""

    element = LONG

    def __getitem__(self, index: Int | int) -> Int:
        return Int(self.block, self.block.builder.load(self.at(index).value))


def pointer_from[P: Pointer](kind: type[P], address: Int) -> P:
    """The array at an address that was loaded from memory."""
    return kind(address.block, address.block.builder.inttoptr(address.value, ir.PointerType(kind.element)))


def _as_vector(pointer: Pointer, element: ir.Type, lanes: int) -> ir.Value:
    return pointer.block.builder.bitcast(pointer.value, ir.PointerType(type_of(element, lanes)))
