"""The correlation look-up against its definition, sampled place by place as the published program does it."""

from __future__ import annotations

from math import inf, nan

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.ops.lookup import Correlation, OnDemand, Volume, correlate, lookup, op, volume_bytes, warm_up

pytestmark = pytest.mark.usefixtures("backend")
FORMS = [pytest.param(1 << 40, id="volume"), pytest.param(0, id="on demand")]


def by_definition(source: Tensor, target: Tensor, centres: Tensor, levels: int, radius: int, factor: float) -> Tensor:
    """All pairs, average pooling of the volume, and `grid_sample` at every place of every window, in float64."""
    batch, _, height, width = source.shape
    image = factor * torch.einsum("bcn,bcm->bnm", source.double().flatten(2), target.double().flatten(2))
    image = image.reshape(batch * height * width, 1, *target.shape[2:])
    found = []
    steps = torch.arange(-radius, radius + 1, dtype=torch.float64)
    for level in range(levels):
        if level:
            image = functional.avg_pool2d(image, 2)
        h, w = image.shape[2:]
        if h == 1 or w == 1:
            found.append(torch.zeros(batch, (2 * radius + 1) ** 2, height, width, dtype=torch.float64))
            continue
        x, y = (centres.double() / 2**level).permute(1, 0, 2, 3).reshape(2, -1, 1, 1)
        columns, rows = (x + steps[:, None]).expand(-1, -1, len(steps)), (y + steps[None]).expand(-1, len(steps), -1)
        grid = torch.stack((2 * columns / (w - 1) - 1, 2 * rows / (h - 1) - 1), -1)
        sampled = functional.grid_sample(image, grid, padding_mode="zeros", align_corners=True)
        found.append(sampled.reshape(batch, height, width, -1).permute(0, 3, 1, 2))
    return torch.cat(found, 1)


def scene(
    size: tuple[int, int], target: tuple[int, int], batch: int = 2, channels: int = 5, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Features, and centres within, at whole pixels, on the border and far outside."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (
        torch.randn(batch, channels, *size, generator=generator),
        torch.randn(batch, channels, *target, generator=generator),
    )
    centres = torch.rand(batch, 2, *size, generator=generator) * 1.6 * max(target) - 0.3 * max(target)
    kinds = torch.randint(0, 8, (batch, 1, *size), generator=generator)
    centres = torch.where(kinds == 0, centres.round(), centres)
    centres = torch.where(kinds == 1, centres * 50, centres)
    return first, second, centres


@pytest.mark.parametrize("budget", FORMS)
@pytest.mark.parametrize(
    ("size", "target", "levels", "radius"),
    [((5, 7), (9, 14), 3, 4), ((16, 11), (16, 11), 4, 4), ((3, 4), (17, 8), 1, 4), ((4, 4), (6, 6), 2, 0)],
)
def test_windows_are_the_definition(
    size: tuple[int, int], target: tuple[int, int], levels: int, radius: int, budget: int
) -> None:
    first, second, centres = scene(size, target)
    found = lookup(correlate(first, second, levels=levels, factor=0.25, budget=budget), centres, radius)
    expected = by_definition(first, second, centres, levels, radius, 0.25)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    assert expected.abs().max() > 0.3
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("budget", FORMS)
def test_the_slow_index_moves_x(budget: int) -> None:
    target = torch.arange(63.0).reshape(1, 1, 7, 9)
    centres = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    found = lookup(correlate(torch.ones(1, 1, 1, 1), target, levels=1, budget=budget), centres, 1)
    assert found.flatten().tolist() == [9.0 * y + x for x in (2, 3, 4) for y in (3, 4, 5)]


@pytest.mark.parametrize("budget", FORMS)
def test_what_is_not_finite_or_far_away_finds_nothing(budget: int) -> None:
    centres = torch.tensor(
        [[nan, 2.0], [2.0, inf], [-inf, 2.0], [1e30, 2.0], [2.0, -20.0], [24.0, 2.0], [2.0, 2.0]]
    ).T.reshape(1, 2, 1, 7)
    found = lookup(correlate(torch.ones(1, 3, 1, 7), torch.ones(1, 3, 8, 8), levels=2, budget=budget), centres, 4)
    assert not found[..., :6].any()
    assert found[0, :, 0, 6].max() == 3


@pytest.mark.parametrize("budget", FORMS)
def test_a_level_of_one_pixel_counts_as_nothing(budget: int) -> None:
    first, second = torch.ones(1, 2, 3, 3), torch.ones(1, 2, 4, 9)
    found = lookup(correlate(first, second, levels=3, budget=budget), torch.zeros(1, 2, 3, 3), 4)
    assert not found[:, 162:].any()
    assert found[:, 81:162].any()


@pytest.mark.parametrize("budget", FORMS)
def test_one_correlation_serves_a_batch(budget: int) -> None:
    first, second, centres = scene((6, 5), (6, 5), batch=3)
    correlation = correlate(first[:1], second[:1], levels=2, budget=budget)
    found = lookup(correlation, centres, 4)
    for index in range(3):
        torch.testing.assert_close(found[index : index + 1], lookup(correlation, centres[index : index + 1], 4))


def test_volumes_are_used_as_far_as_the_budget_reaches() -> None:
    first, second, _ = scene((6, 5), (8, 4))
    needed = 2 * 30 * (32 + 8) * 4
    assert volume_bytes(first, (second, second[..., ::2, ::2])) == needed
    volume, features = (correlate(first, second, levels=2, budget=budget) for budget in (needed, needed - 1))
    assert isinstance(volume, Volume)
    assert [tuple(level.shape) for level in volume.levels] == [(2, 30, 8, 4), (2, 30, 4, 2)]
    assert sum(level.nbytes for level in volume.levels) == needed
    assert isinstance(features, OnDemand)
    assert [tuple(target.shape) for target in features.targets] == [(2, 5, 8, 4), (2, 5, 4, 2)]


def test_volumes_are_made_where_they_pay(backend: str) -> None:
    features = torch.ones(1, 1, 20, 30)  # 600 + 150 pixels
    kinds = [type(correlate(features, features, levels=2, lookups=lookups)) for lookups in (7, 8)]
    assert kinds == ([OnDemand, Volume] if backend == "llvmlite" else [Volume, Volume])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("budget", FORMS)
def test_threads_change_no_bit(backend: str, budget: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if backend == "llvmlite":
        monkeypatch.setattr("vsvfi.ops.lookup.cpu._WORTHWHILE", {False: 1, True: 1})
    first, second, centres = scene((5, 7), (9, 14), channels=70)
    correlation, before = correlate(first, second, levels=2, budget=budget), torch.get_num_threads()
    expected = lookup(correlation, centres, 4)
    torch.set_num_threads(threads)
    try:
        assert torch.equal(lookup(correlation, centres, 4), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("budget", FORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_types_round_their_values_alone(dtype: torch.dtype, budget: int) -> None:
    first, second, centres = scene((6, 5), (6, 5))
    first, second = first.to(dtype), second.to(dtype)
    found = lookup(correlate(first, second, levels=2, budget=budget), centres, 4)
    assert found.dtype == dtype
    expected = by_definition(first, second, centres, 2, 4, 1.0)
    torch.testing.assert_close(
        found.double(), expected, rtol=0, atol=float(expected.abs().max()) * torch.finfo(dtype).eps * 2
    )


@pytest.mark.parametrize("budget", FORMS)
def test_gradients_reach_features_and_centres(budget: int) -> None:
    first, second, _ = scene((3, 4), (5, 6), batch=1, channels=2)
    centres = torch.rand(1, 2, 3, 4) * 4 + 0.1
    inputs = [tensor.double().requires_grad_() for tensor in (first, second)]
    lookup(correlate(*inputs, levels=1, budget=budget), centres, 1).square().sum().backward()
    wanted = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    by_definition(*wanted, centres, 1, 1, 1.0).square().sum().backward()
    for ours, theirs in zip(inputs, wanted, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)


def volume() -> Correlation:
    return correlate(torch.ones(2, 1, 3, 4), torch.ones(2, 1, 5, 5), levels=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: correlate(torch.ones(1, 2, 3, 3), torch.ones(1, 3, 3, 3), levels=1),
            r"correlate: target=\(1, 3, 3, 3\) torch.float32, must be \[B, C, h, w\]",
        ),
        (
            lambda: correlate(torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 3).half(), levels=1),
            r"must be .* type of source=\(1, 2, 3, 3\) torch.float32",
        ),
        (
            lambda: correlate(torch.ones(1, 2, 8, 3), torch.ones(1, 2, 8, 3), levels=3),
            r"correlate: levels=3, must be 1 or more and halve",
        ),
        (lambda: correlate(torch.ones(1, 2, 8, 3), torch.ones(1, 2, 8, 3), levels=0), r"correlate: levels=0"),
        (
            lambda: lookup(volume(), torch.ones(2, 2, 4, 4), 4),
            r"lookup: centres=\(2, 2, 4, 4\), must be \[B, 2, H, W\] with B=2 .* and H \* W=12",
        ),
        (lambda: lookup(volume(), torch.ones(3, 2, 3, 4), 4), r"lookup: centres=\(3, 2, 3, 4\)"),
        (lambda: lookup(volume(), torch.ones(2, 2, 3, 4), -1), r"lookup: radius=-1, must be 0 or more"),
    ],
)
def test_what_does_not_fit_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("budget", FORMS)
def test_the_torch_operator_keeps_its_promises(budget: int, dtype: torch.dtype) -> None:
    first, second, centres = scene((6, 5), (6, 7))
    correlation = correlate(first.to(dtype), second.to(dtype), levels=2, budget=budget)
    given = (
        (list(correlation.levels), None)
        if isinstance(correlation, Volume)
        else (list(correlation.targets), correlation.source)
    )
    torch.library.opcheck(
        torch.ops.vsvfi.lookup.default, (*given, centres, 4), test_utils=["test_schema", "test_faketensor"]
    )


def test_kernels_decline_what_they_cannot_compute() -> None:
    levels, centres = [torch.zeros(1, 4, 3, 3)], torch.zeros(1, 2, 2, 2)
    assert op._declines(levels, None, centres, 7) is None
    assert op._declines(levels, None, centres, 8) == "radius=8 (at most 7)"
    assert op._declines([levels[0].double()], None, centres, 4) == "float64 features"


def test_a_window_beyond_the_kernels_memory_is_the_references(backend: str) -> None:
    first, second, centres = scene((3, 4), (9, 8), batch=1)
    found = lookup(correlate(first, second, levels=1), centres, 8)
    torch.testing.assert_close(found.double(), by_definition(first, second, centres, 1, 8, 1.0), rtol=1e-5, atol=1e-5)


def test_warming_up_takes_any_type() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        warm_up(torch.device("cpu"), dtype)
