"""Splatting in native code: against the reference, and bitwise equal for any thread count."""

from __future__ import annotations

import threading
from math import nan

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vsvfi.ops import probe
from vsvfi.ops.splat import reference, splat

if probe.obstacle("llvmlite") is not None:
    pytest.skip("llvmlite does not work here", allow_module_level=True)

from vsvfi.ops.splat import bands


def case(
    height: int, width: int, batch: int, channels: list[int], seed: int = 0, reach: float = 2.0
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Values channels last, displacements, weights."""
    generator = torch.Generator().manual_seed(seed)
    values = [
        torch.randn(batch, count, height, width, generator=generator).contiguous(memory_format=torch.channels_last)
        for count in channels
    ]
    displacement = reach * torch.randn(batch, 2, height, width, generator=generator)
    return values, displacement, torch.rand(batch, 1, height, width, generator=generator) + 0.01


def agree(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-6) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        assert one.is_contiguous(memory_format=torch.channels_last)
        assert float((one.double() - other.double()).norm()) <= tolerance * float(other.double().norm())


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    batch=st.integers(1, 3),
    channels=st.sampled_from([[1], [3, 8], [16], [32], [40, 1, 5], [70, 29]]),
    weighted=st.sampled_from(["no", "each", "shared"]),
    reach=st.sampled_from([0.0, 0.3, 3.0, 1e3, 1e38]),
    layout=st.sampled_from(["channels last", "contiguous", "slice", "crop", "shared"]),
    axes=st.sampled_from([(0, 1, 2, 3), (0, 2, 3, 1), (0, 1, 3, 2)]),
    seed=st.integers(0, 9999),
)
def test_it_is_the_reference(
    height: int,
    width: int,
    batch: int,
    channels: list[int],
    weighted: str,
    reach: float,
    layout: str,
    axes: tuple[int, ...],
    seed: int,
) -> None:
    values, displacement, weight = case(height, width, batch, channels, seed, reach)
    match layout:
        case "contiguous":
            values = [value.contiguous() for value in values]
        case "slice":
            values = list(torch.split(torch.cat(values, 1).contiguous(memory_format=torch.channels_last), channels, 1))
        case "crop":
            values = [
                torch.nn.functional.pad(value, (1, 2, 1, 0)).contiguous(memory_format=torch.channels_last)[
                    :, :, 1:, 1:-2
                ]
                for value in values
            ]
        case "shared":
            values = [value[: 1 if index % 2 == 0 else None] for index, value in enumerate(values)]
    # Any order in memory
    displacement = displacement.permute(axes).contiguous().permute([axes.index(axis) for axis in range(4)])
    weights = {"no": None, "each": weight, "shared": weight[:1]}[weighted]
    agree(bands.run(values, displacement, weights), reference.splat_sums(values, displacement, weights))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_those_of_the_results(dtype: torch.dtype) -> None:
    (value, other), displacement, weight = case(7, 9, 2, [5, 3])
    values, displacement = [value.to(dtype), other], displacement.to(dtype)
    agree(
        bands.run(values, displacement, weight),
        reference.splat_sums(values, displacement, weight),
        1e-6 if dtype == torch.float64 else 1e-2,
    )


@pytest.mark.parametrize("layout", ["channels last", "contiguous", "crop"])
@pytest.mark.parametrize("weighted", [False, True])
def test_bfloat16_is_read_exactly_and_rounded_once(weighted: bool, layout: str) -> None:
    values, displacement, weight = case(9, 14, 2, [3, 70, 8], reach=1.0)
    values = [value.bfloat16() for value in values]
    values[0][0, 1, 4, 4:8] = torch.tensor([nan, torch.inf, -torch.inf, 3.3e38])
    if layout == "contiguous":
        values = [value.contiguous() for value in values]
    elif layout == "crop":
        values = [
            torch.nn.functional.pad(value, (1, 2, 1, 0)).contiguous(memory_format=torch.channels_last)[:, :, 1:, 1:-2]
            for value in values
        ]
    weights = weight if weighted else None
    *expected, _ = bands.run([value.float() for value in values], displacement, weights)
    *found, _ = bands.run([values[0], values[1].float(), values[2]], displacement, weights)
    for one, other, dtype in zip(found, expected, (torch.bfloat16, torch.float32, torch.bfloat16), strict=True):
        assert one.dtype == dtype
        assert torch.equal(one.nan_to_num(7), other.to(dtype).nan_to_num(7))
        assert torch.equal(one.isnan(), other.isnan())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_size_of_the_workspace_changes_no_bit(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    values, displacement, weight = case(37, 53, 2, [3, 21], reach=6.0)
    values[1] = values[1].to(dtype)
    found = []
    for numbers in (1, 1 << 12, 1 << 30):
        monkeypatch.setattr(bands, "_WORKSPACE", numbers)
        found.append(bands.run(values, displacement, weight))
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_number_of_threads_changes_no_bit(batch: int, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "_WORTHWHILE", 1)
    values, displacement, weight = case(37, 53, batch, [3, 21])
    displacement[0, 1, 5, 5:7] = torch.tensor([nan, torch.inf])
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7, 64):
            torch.set_num_threads(threads)
            found.append(bands.run(values, displacement, weight if weighted else None))
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


def test_many_threads_may_splat_at_once() -> None:
    values, displacement, _ = case(90, 120, 2, [3, 16])
    expected, found = splat(values, displacement), {}

    def work(index: int) -> None:
        with torch.inference_mode():
            found[index] = splat(values, displacement)

    before = threading.active_count()
    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, other) for index in range(8) for one, other in zip(found[index], expected, strict=True))
    assert threading.active_count() == before


def test_values_stay_where_they_have_weight() -> None:
    """Sources of weight 0 and neighbours of bilinear weight 0 are not looked at: 0 times NaN would be NaN."""
    (value,), _, weight = case(6, 9, 1, [17])
    value[0, :, 2, 3], value[0, :, 4, 4] = nan, nan
    weight[0, 0, 4, 4], weight[0, 0, 1, 1] = 0, -torch.inf
    result, _ = bands.run([value], torch.ones(1, 2, 6, 9), weight)
    assert bool(result[0, :, 3, 4].isnan().all())
    assert int(result.isnan().sum()) == 17
    assert float(result[0, :, 2, 2].abs().max()) == float(result[0, :, 5, 5].abs().max()) == 0


def test_negative_weights_count() -> None:
    values, displacement, weight = case(8, 9, 1, [3], reach=0.4)
    agree(bands.run(values, displacement, -weight), reference.splat_sums(values, displacement, -weight))
