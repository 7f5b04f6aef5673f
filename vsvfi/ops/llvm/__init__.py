"""Build the CPU kernels of the operators: loops over numbers in memory, written in Python and compiled by LLVM for the
CPU at hand.

A kernel is a function that runs once, on values that stand for those of the calls to come. Arithmetic on them adds
instructions to the code, `with code.loop(n)` adds a loop, `with code.when(condition)` a branch; Python's own `for` and
`if` repeat or leave out code, for sizes that are known beforehand:

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

Nothing is optimised behind the kernel's back: floats are rounded operation by operation in the order written, except
inside `code.fused()`. Import this package only where llvmlite works (see `vsvfi.ops.probe`).
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
