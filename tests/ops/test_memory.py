"""Compiled code gets the address of no tensor that is not what it assumes."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import vsvfi.ops
from vsvfi.ops import probe
from vsvfi.ops.memory import Memory

KERNELS = sorted(
    [*Path(vsvfi.ops.__file__).parent.glob("*/cpu.py"), *Path(vsvfi.ops.__file__).parent.glob("*/bands.py")]
)


def freed() -> Tensor:
    tensor = torch.zeros(2, 3)
    tensor.untyped_storage().resize_(8)
    return tensor


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.zeros(2, 3, dtype=torch.float16), r"torch.float16, must be torch.float32"),
        (lambda: torch.zeros(2, 3, dtype=torch.float64), r"torch.float64, must be torch.float32"),
        (lambda: torch.zeros(2, 3, device="meta"), r"on meta, must be in the CPU's memory"),
        (lambda: torch.zeros(2, 3).to_sparse(), r"sparse.* tensor on cpu"),
        (lambda: torch.zeros(2, 3, dtype=torch.complex64).conj().imag, r"must be in the CPU's memory as it is"),
        (lambda: torch.zeros(2, 4), r"\[2, 4\], must be \[2, 3\]"),
        (lambda: torch.zeros(6), r"\[6\], must be \[2, 3\]"),
        (lambda: torch.zeros(3, 2).t(), r"strides \[1, 2\], the last 2 dimensions"),
        (lambda: torch.zeros(1, 3).expand(2, 3), r"strides \[0, 1\], the last 2 dimensions"),
        (freed, r"elements up to number 5, its storage has 2"),
    ],
)
def test_what_compiled_code_cannot_take_is_refused(make: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=f"^test: .*{message}"):
        Memory("test", make(), torch.float32, (2, 3))


def test_empty_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="not empty"):
        Memory("test", torch.zeros(2, 0), torch.float32, (2, 0))


def test_addresses_are_those_of_torch() -> None:
    tensor = torch.zeros(4, 5, 6)[1:, ::2].transpose(0, 1)
    memory = Memory("test", tensor, torch.float32, (3, 3, 6), dense=1)
    assert memory.at() == tensor.data_ptr()
    assert memory.at(2) == tensor[2].data_ptr()
    assert memory.at(1, 2, 5) == tensor[1, 2, 5:].data_ptr()
    assert memory.strides == tensor.stride()


@pytest.mark.parametrize("index", [(3,), (-1,), (0, 0, 6), (2, 3)])
def test_no_address_outside(index: tuple[int, ...]) -> None:
    with pytest.raises(IndexError, match="outside of"):
        Memory("test", torch.zeros(3, 3, 6), torch.float32, (3, 3, 6)).at(*index)


def test_one_image_serves_a_batch() -> None:
    tensor = torch.zeros(1, 4)
    assert Memory("test", tensor, torch.float32, (1, 4)).at(7, 1) == tensor[0, 1:].data_ptr()


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_kernels_take_addresses_from_nowhere_else(path: Path) -> None:
    names = {
        node.attr for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)
    }
    assert not names & {"data_ptr", "storage", "untyped_storage", "ctypes"}


def wrong(operator: str) -> Callable[[], object]:
    """Call an operator's native code with unchecked arguments."""
    maps = [torch.zeros(2, count, 3, 4) for count in (5, 5, 25, 25, 25)]
    order = torch.arange(6, dtype=torch.int32)[None]
    tokens, shared, rates, row = (
        torch.zeros(1, 6, 64),
        torch.zeros(1, 1, 6, 4),
        torch.zeros(1, 64, 4),
        torch.zeros(1, 64),
    )
    if operator == "splat":
        from vsvfi.ops.splat import bands

        return lambda: bands.run([torch.zeros(2, 3, 2, 2)], torch.zeros(2, 2, 8, 9), None)
    if operator == "splat, importance":
        from vsvfi.ops.splat import bands

        return lambda: bands.run([torch.zeros(2, 3, 8, 9)], torch.zeros(2, 2, 8, 9), torch.zeros(1, 1, 1, 1))
    if operator == "sepconv":
        from vsvfi.ops.sepconv import cpu

        return lambda: cpu.run(torch.zeros(1, 3, 3, 4), *maps[:4], torch.zeros(2, 24, 3, 4), 0, 0)
    if operator == "lookup":
        from vsvfi.ops.lookup import cpu as lookup

        return lambda: lookup.from_volume([torch.zeros(1, 3, 4, 4)], torch.zeros(1, 2, 4, 4), 4)
    from vsvfi.ops.scan import cpu as scan

    reads = order + 6 if operator == "scan, paths" else order
    delta = tokens[:, None] if operator == "scan, paths" else tokens[:, None, :5]
    return lambda: scan.run(tokens, delta, rates, shared, shared, row, row, True, reads, order)


@pytest.mark.skipif(probe.obstacle("llvmlite") is not None, reason="llvmlite does not work here")
@pytest.mark.parametrize("operator", ["splat", "splat, importance", "sepconv", "lookup", "scan", "scan, paths"])
def test_native_code_refuses_what_does_not_fit(operator: str) -> None:
    with pytest.raises(ValueError, match=f"^{operator.split(',')[0]}: "):
        wrong(operator)()
