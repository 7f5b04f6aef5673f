"""The builder of CPU kernels: each part against the same computation in torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan

import pytest
import torch
from torch import Tensor

from vsvfi.ops import probe

if probe.obstacle("llvmlite") is not None:
    pytest.skip("llvmlite does not work here", allow_module_level=True)

from vsvfi.ops.llvm import (
    BF16Pointer,
    Code,
    F32Pointer,
    Float,
    I32Pointer,
    I64Pointer,
    Int,
    pick,
    pointer_from,
    select,
)


@dataclass(frozen=True)
class Size:
    """Rows and columns, nested in the arguments."""

    rows: Int
    columns: Int


@dataclass(frozen=True)
class Arguments:
    source: F32Pointer
    result: F32Pointer
    size: Size
    indices: I32Pointer


def code() -> Code[Arguments]:
    return Code("kernel", Arguments)


def run(built: Code[Arguments], source: Tensor, shape: tuple[int, int], indices: Tensor | None = None) -> Tensor:
    """What a kernel leaves in a result of so many rows and columns that was all -1."""
    result = torch.full(shape, -1.0)
    indices = torch.zeros(1, dtype=torch.int32) if indices is None else indices
    built.compile()(source.data_ptr(), result.data_ptr(), *shape, indices.data_ptr())
    return result


def test_loops_within_loops_visit_every_index() -> None:
    kernel = code()
    given = kernel.arguments
    with kernel.loop(given.size.rows) as row, kernel.loop(given.size.columns) as column:
        given.result[row * given.size.columns + column] = (row * 10 + column).to_float()
    assert run(kernel, torch.zeros(1), (3, 4)).tolist() == [
        [10.0 * row + column for column in range(4)] for row in range(3)
    ]


def test_branches() -> None:
    kernel = code()
    given = kernel.arguments
    with kernel.loop(given.size.columns) as i:
        value = given.source[i]
        with kernel.when(value > 0.0):
            given.result[i] = value
        with kernel.either(value.equals(-1.0)) as (yes, no):
            with yes:
                given.result[given.size.columns + i] = kernel.number(7.0)
            with no:
                given.result[given.size.columns + i] = kernel.number(8.0)
    assert run(kernel, torch.tensor([1.0, -1.0, nan]), (2, 3)).tolist() == [[1, -1, -1], [8, 7, 8]]


def test_variables_carry_sums_of_numbers_and_vectors_through_loops() -> None:
    kernel = code()
    given = kernel.arguments
    total, vector = kernel.variable(kernel.number(0.5)), kernel.variable(kernel.number(0.0, 4))
    with kernel.loop(given.size.columns) as i:
        total += given.source[i]
        vector += given.source.at(i).load(4) * total.value
    given.result[0] = total.value
    given.result.at(1).store(vector.value)
    source = torch.arange(8.0)
    expected, sums = torch.zeros(4), 0.5
    for i in range(5):
        sums += float(source[i])
        expected += source[i : i + 4] * sums
    assert run(kernel, source, (1, 5)).tolist() == [[sums, *expected.tolist()]]


def test_arrays_are_memory_of_the_call() -> None:
    kernel = code()
    given, kept = kernel.arguments, kernel.array(8)
    with kernel.loop(given.size.columns) as i:
        kept[i] = given.source[i]
    with kernel.loop(given.size.columns) as i:
        given.result[i] = kept[given.size.columns - 1 - i]
    assert run(kernel, torch.arange(8.0), (1, 8)).tolist() == [[7, 6, 5, 4, 3, 2, 1, 0]]


def test_numbers_are_rounded_one_by_one_unless_fused() -> None:
    """(1 + e)(1 - e) is 1 - e^2, which float32 rounds to 1: one rounding of the whole leaves -e^2."""
    e = 2.0**-13
    source = torch.tensor([1 + e, 1 - e, -1.0])
    found = []
    for fused in (False, True):
        kernel = code()
        given = kernel.arguments
        if fused:
            with kernel.fused():
                given.result[0] = given.source[0] * given.source[1] + given.source[2]
        else:
            given.result[0] = given.source[0] * given.source[1] + given.source[2]
        found.append(float(run(kernel, source, (1, 1))))
    assert found[0] == 0
    assert found[1] in (0, -(e**2))  # where the CPU has no fused instruction, both are alike


UNARY = [
    (lambda x: x.floor().to_float(), torch.floor, False),
    (lambda x: x.truncated().to_float(), torch.trunc, False),
    (lambda x: -x, torch.neg, True),
    (lambda x: x.absolute(), torch.abs, True),
    (lambda x: 1.0 - x, lambda x: 1.0 - x, True),
    (lambda x: 1.0 + x, lambda x: 1.0 + x, True),
    (lambda x: x / 3.0, lambda x: x / 3.0, True),
    (lambda x: x.at_least(0.25), lambda x: torch.where(x > 0.25, x, 0.25), True),
    (lambda x: x.within(-1.0, 1.5).to_int().to_float(), lambda x: ((x >= -1.0) & (x < 1.5)).float(), True),
    (lambda x: x.differs(1.5).to_int().to_float(), lambda x: ((x != 1.5) & ~x.isnan()).float(), True),
    (lambda x: x.is_nan().to_int().to_float(), lambda x: x.isnan().float(), True),
    (lambda x: (~(x < 0.0) | (x > 9.0)).to_int().to_float(), lambda x: (~(x < 0)).float(), True),
]


@pytest.mark.parametrize(("ours", "torchs", "anything"), UNARY)
def test_arithmetic_is_torchs(ours, torchs, anything: bool) -> None:  # type: ignore[no-untyped-def]
    kernel = code()
    given = kernel.arguments
    with kernel.loop(given.size.columns) as i:
        given.result[i] = ours(given.source[i])
    special = [nan, inf, -inf] if anything else []
    source = torch.tensor([-2.5, -2.0, -0.3, 0.0, 0.7, 1.5, 100.25, *special])
    expected = torchs(source)
    found = run(kernel, source, (1, len(source)))[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_vectors_are_taken_apart_and_joined() -> None:
    kernel = code()
    given = kernel.arguments
    four, one = given.source.load(4), given.source[4]
    given.result.store(four.joined(one).joined(four.pick([3, 0])).joined(one.broadcast(2)))
    given.result[9] = four.lane(2)
    given.result[10] = one.lane(0)
    assert run(kernel, torch.arange(5.0), (1, 11)).tolist() == [[0, 1, 2, 3, 4, 3, 0, 4, 4, 2, 4]]


def test_choices() -> None:
    kernel = code()
    given = kernel.arguments
    with kernel.loop(given.size.columns) as i:
        chosen = pick(i, [given.source[0], given.source[1], given.source[2]])
        given.result[i] = select(i.inside(2), chosen, 9.0)
        number = select(i.equals(1), i * 5, i // 2)
        given.result[given.size.columns + i] = number.to_float()
    assert run(kernel, torch.tensor([5.0, 6.0, 7.0]), (2, 3)).tolist() == [[5, 6, 9], [0, 5, 1]]


def test_negative_numbers_are_outside() -> None:
    kernel = code()
    given = kernel.arguments
    with kernel.loop(given.size.columns) as i:
        given.indices.at(i).prefetch()
        given.result[i] = given.indices[i].inside(given.size.columns).to_int().to_float()
    indices = torch.tensor([-1, 0, 3, 4, -(2**31)], dtype=torch.int32)
    assert run(kernel, torch.zeros(1), (1, 5), indices).tolist() == [[0, 1, 1, 1, 0]]


@dataclass(frozen=True)
class Table:
    addresses: I64Pointer
    count: Int


@pytest.mark.parametrize("lanes", [1, 8])
def test_bfloat16_is_read_exactly_and_rounded_like_torchs(lanes: int) -> None:
    """From addresses in a table, as values of a list come."""
    kernel = Code("bfloat", Table)
    given = kernel.arguments
    narrow, wide, back = (
        pointer_from(kind, given.addresses[number])
        for number, kind in enumerate((BF16Pointer, F32Pointer, BF16Pointer))
    )
    with kernel.loop(given.count) as i:
        value: Float = narrow.at(i * lanes).load(lanes)
        wide.at(i * lanes).store(value + wide.at(i * lanes).load(lanes))
        back.at(i * lanes).store(wide.at(i * lanes).load(lanes))
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    added = torch.randn(2**16, generator=torch.Generator().manual_seed(0)) * 1e-3
    wide_, back_ = added.clone(), torch.zeros(2**16, dtype=torch.bfloat16)
    table = torch.tensor([every.data_ptr(), wide_.data_ptr(), back_.data_ptr()])
    kernel.compile()(table.data_ptr(), 2**16 // lanes)
    expected = every.float() + added
    torch.testing.assert_close(wide_, expected, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(back_, expected.to(torch.bfloat16), rtol=0, atol=0, equal_nan=True)
