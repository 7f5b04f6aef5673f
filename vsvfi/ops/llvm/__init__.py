"""Build CPU kernels: loops over arrays, written in Python and compiled by LLVM for this CPU.

A kernel is a function that is traced once, with symbolic values for its arguments. Arithmetic on them emits
instructions, `with code.loop(n)` emits a loop and `with code.when(condition)` a branch; Python's own `for` and `if`
repeat or omit code, for sizes known at compile time:

    @dataclass(frozen=True)
    class Arguments:
        source: F32Pointer
        result: F32Pointer
        count: Int

    def doubled() -> Function:
        code = Code("doubled", Arguments)
        given = code.arguments
        with code.loop(given.count) as i:
            given.result[i] = given.source[i] * 2.0
        return code.compile()

    doubled()(source.data_ptr(), result.data_ptr(), source.numel())  # without the GIL

Floating-point operations are never reordered or fused, except inside `code.fused()`. Import this package only where
llvmlite works (see `vsvfi.ops.probe`).
"""

from vsvfi.ops.llvm.code import Code, Function, Variable
from vsvfi.ops.llvm.pointers import BF16Pointer, F32Pointer, FloatPointer, I32Pointer, I64Pointer, pointer_from
from vsvfi.ops.llvm.values import Bits, Bool, Float, Int, pick, select

__all__ = [
    "BF16Pointer",
    "Bits",
    "Bool",
    "Code",
    "F32Pointer",
    "Float",
    "FloatPointer",
    "Function",
    "I32Pointer",
    "I64Pointer",
    "Int",
    "Variable",
    "pick",
    "pointer_from",
    "select",
]
