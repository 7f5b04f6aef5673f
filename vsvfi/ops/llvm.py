"""What all native code for the CPU has in common: loops in the code being built, and its way through LLVM into memory. Knows no operator and no tensor.

Imported only where llvmlite works (see `vsvfi.ops.backends`). Compiling takes a tenth of a second and leaves nothing on disk.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

FLOAT, INT, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)


@contextlib.contextmanager
def loop(builder: Any, count: Any, carried: Sequence[Any] = ()) -> Iterator[tuple[Any, list[Any], list[Any]]]:
    """A loop of `count` >= 1 rounds: yields the index, the carried values of this round, and a list to put those of the next into.

    After the loop that list is what the last round put there.
    """
    before, body, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(body)
    builder.position_at_end(body)
    index = builder.phi(LONG)
    index.add_incoming(LONG(0), before)
    entering = [builder.phi(value.type) for value in carried]
    for phi, value in zip(entering, carried, strict=True):
        phi.add_incoming(value, before)
    leaving: list[Any] = []
    yield index, entering, leaving
    following = builder.add(index, LONG(1))
    index.add_incoming(following, builder.block)
    for phi, value in zip(entering, leaving, strict=True):
        phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", following, count), body, after)
    builder.position_at_end(after)


def machine_code(source: str, name: str, pointers: int, numbers: int) -> Callable[..., None]:
    """The function of this name as code for this machine, called without the GIL: addresses first, then whole numbers of 64 bits.

    Args:
        source: assembly of a module, in LLVM's own language.
        name: of the function, which returns nothing.
        pointers: how many addresses it takes.
        numbers: how many numbers.

    Raises:
        RuntimeError: LLVM cannot make code for this machine.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True)
    module = llvm.parse_assembly(source)
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * pointers, *[ctypes.c_int64] * numbers)
    function = prototype(engine.get_function_address(name))

    def call(*arguments: int, engine: Any = engine) -> None:
        """Holds the engine: the code lives as long as it does."""
        function(*arguments)

    return call
