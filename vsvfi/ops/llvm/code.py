"""Trace a kernel into a function (arguments, loops, branches, variables) and compile it with LLVM."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import typing
from collections.abc import Iterator
from typing import Protocol

import llvmlite.binding as llvm
from llvmlite import ir

from vsvfi.ops.llvm.pointers import F32Pointer, Pointer
from vsvfi.ops.llvm.values import FLOAT, LONG, Block, Bool, Float, Int, float_constant


class Function(Protocol):
    """Compiled code: takes addresses and integers in the order of the kernel's arguments.

    Runs without the GIL and returns nothing.
    """

    def __call__(self, *arguments: int) -> None: ...


class Variable:
    """A mutable float or vector: `total.value` reads it, `total += number` adds to it."""

    def __init__(self, block: Block, place: ir.Value) -> None:
        self._block, self._place = block, place

    @property
    def value(self) -> Float:
        """The value at this point of the code."""
        return Float(self._block, self._block.builder.load(self._place))

    @value.setter
    def value(self, number: Float) -> None:
        self._block.builder.store(number.value, self._place)

    def __iadd__(self, number: Float) -> Variable:
        self.value = self.value + number
        return self


class Code[Arguments]:
    """A function under construction.

    Args:
        name: of the function.
        arguments: a dataclass; its fields are pointers, `Int` (64 bits) and dataclasses of these.
    """

    def __init__(self, name: str, arguments: type[Arguments]) -> None:
        self._name, self._kinds = name, _kinds(arguments)
        self._module = ir.Module(name=f"vsvfi_{name}")
        types = [LONG if issubclass(kind, Int) else ir.PointerType(kind.element) for kind in self._kinds]
        function = ir.Function(self._module, ir.FunctionType(ir.VoidType(), types), name=name)
        self.block = Block(ir.IRBuilder(function.append_basic_block()))
        self.arguments: Arguments = _given(arguments, self.block, iter(function.args))

    def number(self, value: float, lanes: int = 1) -> Float:
        """A constant, in every lane."""
        return Float(self.block, float_constant(value, lanes))

    def variable(self, start: Float) -> Variable:
        """A variable with this initial value."""
        with self.block.builder.goto_entry_block():
            place = self.block.builder.alloca(start.value.type)
        variable = Variable(self.block, place)
        variable.value = start
        return variable

    def array(self, length: int) -> F32Pointer:
        """Uninitialised memory for this many floats, valid until the function returns."""
        with self.block.builder.goto_entry_block():
            return F32Pointer(self.block, self.block.builder.alloca(FLOAT, LONG(length)))

    @contextlib.contextmanager
    def loop(self, count: Int | int) -> Iterator[Int]:
        """Loop over 0, ..., count - 1; `count` must be 1 or more."""
        builder = self.block.builder
        before, body, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(body)
        builder.position_at_end(body)
        index = builder.phi(LONG)
        index.add_incoming(LONG(0), before)
        yield Int(self.block, index)
        following = builder.add(index, LONG(1))
        index.add_incoming(following, builder.block)
        builder.cbranch(
            builder.icmp_unsigned("<", following, count.value if isinstance(count, Int) else LONG(count)), body, after
        )
        builder.position_at_end(after)

    @contextlib.contextmanager
    def when(self, condition: Bool) -> Iterator[None]:
        """Run the code inside only if the condition holds."""
        with self.block.builder.if_then(condition.value):
            yield

    @contextlib.contextmanager
    def either(
        self, condition: Bool
    ) -> Iterator[tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]]:
        """Return two contexts: for the code if the condition holds, and for the code if it does not."""
        with self.block.builder.if_else(condition.value) as (yes, no):
            yield yes, no

    @contextlib.contextmanager
    def fused(self) -> Iterator[None]:
        """Allow fused multiply-add inside, with one rounding instead of two, if the CPU supports it."""
        before, self.block.fusing = self.block.fusing, True
        yield
        self.block.fusing = before

    def compile(self) -> Function:
        """Compile the function for this machine, in memory.

        Raises:
            RuntimeError: LLVM cannot generate code for this machine.
        """
        self.block.builder.ret_void()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_triple(llvm.get_process_triple())
        machine = target.create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
        )
        module = llvm.parse_assembly(str(self._module))
        module.verify()
        passes = llvm.create_new_module_pass_manager()
        # only promote variables to registers: other passes could change floating-point results
        passes.add_sroa_pass()
        passes.run(module, llvm.create_pass_builder(machine, llvm.PipelineTuningOptions()))
        engine = llvm.create_mcjit_compiler(module, machine)
        engine.finalize_object()
        kinds = [ctypes.c_int64 if issubclass(kind, Int) else ctypes.c_void_p for kind in self._kinds]
        function = ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(self._name))

        def call(*arguments: int, engine: llvm.ExecutionEngine = engine) -> None:
            """Keeps the engine alive, which owns the code."""
            function(*arguments)

        return call


def _kinds(arguments: type[object]) -> list[type[Pointer | Int]]:
    """The kinds of all arguments in order, including those of nested dataclasses."""
    found: list[type[Pointer | Int]] = []
    hints = typing.get_type_hints(arguments)
    for field in dataclasses.fields(arguments):  # type: ignore[arg-type]  # a dataclass, which its type cannot say
        kind = hints[field.name]
        found += [kind] if issubclass(kind, Pointer | Int) else _kinds(kind)
    return found


def _given[Arguments](arguments: type[Arguments], block: Block, values: Iterator[ir.Value]) -> Arguments:
    """The arguments as values."""
    hints = typing.get_type_hints(arguments)
    kinds = [hints[field.name] for field in dataclasses.fields(arguments)]  # type: ignore[arg-type]
    return arguments(
        *(
            kind(block, next(values)) if issubclass(kind, Pointer | Int) else _given(kind, block, values)
            for kind in kinds
        )
    )
