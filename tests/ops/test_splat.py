"""Splatting against its definition, written out pixel by pixel in float64."""

from __future__ import annotations

from math import exp, floor, isfinite, nan

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from vsvfi.ops.splat import Kind, op, reference, splat, warm_up

CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")
SIZES = [(1, 1), (1, 7), (5, 1), (6, 9), (17, 33)]


def by_definition(
    value: Tensor, displacement: Tensor, kind: Kind = "average", importance: Tensor | None = None
) -> Tensor:
    batch, _, height, width = displacement.shape
    value = value.double().expand(batch, -1, -1, -1)
    result = torch.zeros(value.shape, dtype=torch.float64)
    for b in range(batch):
        total = torch.zeros(height, width, dtype=torch.float64)
        shift = 0.0
        if importance is not None:
            importance = importance.expand(batch, -1, -1, -1)
            shift = max((float(entry) for entry in importance[b].flatten() if isfinite(float(entry))), default=0.0)
        for y in range(height):
            for x in range(width):
                # The definition has float32 coordinates.
                tx = float(torch.tensor(float(x), dtype=torch.float32) + displacement[b, 0, y, x].float())
                ty = float(torch.tensor(float(y), dtype=torch.float32) + displacement[b, 1, y, x].float())
                weight = 1.0 if importance is None else float(importance[b, 0, y, x])
                if not (isfinite(tx) and isfinite(ty) and isfinite(weight)):
                    continue
                weight = exp(weight - shift) if kind == "softmax" else weight
                left, top = floor(tx), floor(ty)
                for column, row, share in (
                    (left, top, (left + 1 - tx) * (top + 1 - ty)),
                    (left + 1, top, (tx - left) * (top + 1 - ty)),
                    (left, top + 1, (left + 1 - tx) * (ty - top)),
                    (left + 1, top + 1, (tx - left) * (ty - top)),
                ):
                    if 0 <= column < width and 0 <= row < height and share * weight != 0:
                        result[b, :, row, column] += share * weight * value[b, :, y, x]
                        total[row, column] += share * weight
        result[b] /= torch.where(total == 0, 1.0, total)
    return result


def case(
    size: tuple[int, int], batch: int = 2, channels: int = 3, seed: int = 0, reach: float = 3.0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(batch, channels, *size, generator=generator)
    return value, torch.randn(batch, 2, *size, generator=generator) * reach


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["average", "linear", "softmax"])
def test_it_is_its_definition(size: tuple[int, int], kind: Kind) -> None:
    value, displacement = case(size)
    importance = None if kind == "average" else torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(1)) * 2
    expected = by_definition(value, displacement, kind, importance)
    result = splat(value, displacement, kind=kind, importance=importance)
    assert result.shape == value.shape
    assert result.dtype == value.dtype
    assert torch.allclose(result.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("backend")
def test_holes_are_exactly_zero_and_no_motion_changes_nothing() -> None:
    value, _ = case((8, 12))
    assert torch.equal(splat(value, torch.zeros(2, 2, 8, 12)), value)
    moved = splat(value, torch.tensor([3.0, -2.0]).reshape(1, 2, 1, 1).expand(2, -1, 8, 12))
    assert torch.equal(moved[:, :, :6, 3:], value[:, :, 2:, :9])
    assert float(moved[:, :, 6:].abs().max()) == 0
    assert float(moved[:, :, :, :3].abs().max()) == 0


@pytest.mark.usefixtures("backend")
def test_the_smallest_weight_restores_the_full_value() -> None:
    """No epsilon: one source pixel whose target is slightly beyond an integer."""
    value = torch.zeros(1, 1, 1, 4)
    value[..., 0] = 0.75
    displacement = torch.full((1, 2, 1, 4), 100.0)
    displacement[0, :, 0, 0] = torch.tensor([1e-7, 0.0])
    assert splat(value, displacement).flatten().tolist() == pytest.approx([0.75, 0.75, 0.0, 0.0], abs=1e-6)


@pytest.mark.usefixtures("backend")
def test_what_is_not_finite_spoils_nothing_else() -> None:
    value, displacement = case((6, 9), batch=1)
    displacement[0, 0, 1, 1], displacement[0, 1, 2, 2], displacement[0, 0, 3, 3] = nan, float("inf"), -float("inf")
    displacement[0, :, 4, 4] = torch.tensor([1e30, -1e30])
    assert torch.allclose(splat(value, displacement).double(), by_definition(value, displacement), atol=1e-5)
    importance = torch.rand(1, 1, 6, 9)
    importance[0, 0, 0, :3] = torch.tensor([nan, float("inf"), -float("inf")])
    kinds: tuple[Kind, ...] = ("linear", "softmax")
    for kind in kinds:
        expected = by_definition(value, displacement, kind, importance)
        assert torch.allclose(
            splat(value, displacement, kind=kind, importance=importance).double(), expected, atol=1e-5
        )


@pytest.mark.usefixtures("backend")
def test_a_spoilt_value_stays_where_it_is_carried() -> None:
    value, _ = case((6, 9), batch=1)
    displacement = torch.zeros(1, 2, 6, 9)
    displacement[:, 0] = 1.0
    value[0, 0, 2, 3] = nan
    result = splat(value, displacement)
    assert bool(result[0, 0, 2, 4].isnan())
    assert int(result.isnan().sum()) == 1


@pytest.mark.usefixtures("backend")
def test_large_importance_neither_overflows_nor_blackens() -> None:
    value, displacement = case((6, 9), reach=0.4)
    importance = torch.rand(2, 1, 6, 9) * 40 + 500
    result = splat(value, displacement, kind="softmax", importance=importance)
    assert torch.isfinite(result).all()
    assert torch.allclose(result, splat(value, displacement, kind="softmax", importance=importance - 520), atol=1e-3)


@pytest.mark.usefixtures("backend")
def test_several_values_share_one_pass_and_keep_their_types() -> None:
    value, displacement = case((6, 9), channels=7)
    image, features = splat((value[:, :3], value[:, 3:].half()), displacement)
    assert torch.equal(image, splat(value, displacement)[:, :3])
    assert features.dtype == torch.float16
    assert torch.allclose(features.double(), by_definition(value[:, 3:].half(), displacement), atol=2e-3)


@pytest.mark.usefixtures("backend")
def test_sums_are_float32_under_half_precision() -> None:
    """3000 sources of 0.7 meet in one pixel; in half precision the sum itself would be off by a fifth."""
    value = torch.full((1, 1, 1, 3000), 0.7, dtype=torch.float16)
    displacement = (1500.0 - torch.arange(3000.0)).expand(1, 1, 1, -1)
    displacement = torch.cat((displacement, torch.zeros_like(displacement)), 1)
    assert abs(float(splat(value, displacement)[0, 0, 0, 1500]) - float(value[0, 0, 0, 0])) < 1e-3


@pytest.mark.usefixtures("backend")
def test_a_batch_equals_single_calls_and_one_image_serves_all() -> None:
    value, displacement = case((9, 14), batch=3)
    together = splat(value, displacement)
    for index in range(3):
        assert torch.equal(
            together[index : index + 1], splat(value[index : index + 1], displacement[index : index + 1])
        )
    shared = splat(value[:1], displacement)
    assert torch.equal(shared, splat(value[:1].expand(3, -1, -1, -1), displacement))
    mixed, _ = splat((value[:1], value), displacement)
    assert torch.equal(mixed, shared)


@pytest.mark.usefixtures("backend")
def test_memory_layout_does_not_matter_and_runs_agree() -> None:
    value, displacement = case((17, 33), channels=5)
    first = splat(value, displacement)
    assert torch.equal(
        first,
        splat(
            value.contiguous(memory_format=torch.channels_last),
            displacement.contiguous(memory_format=torch.channels_last),
        ),
    )
    assert torch.equal(first, splat(value, displacement))


@pytest.mark.usefixtures("backend")
def test_gradients() -> None:
    value, displacement = case((5, 6), batch=1, channels=2)
    value, displacement = value.double().requires_grad_(), (displacement * 0.3).requires_grad_()
    importance = torch.rand(1, 1, 5, 6, requires_grad=True)
    weights = torch.rand(1, 2, 5, 6)
    (splat(value, displacement, kind="softmax", importance=importance) * weights).sum().backward()
    for tensor, index in (
        (value, (0, 1, 2, 3)),
        (displacement, (0, 0, 2, 3)),
        (displacement, (0, 1, 1, 1)),
        (importance, (0, 0, 3, 2)),
    ):
        values = []
        for step in (1e-3, -1e-3):
            moved = {id(other): other.detach().clone() for other in (value, displacement, importance)}
            moved[id(tensor)][index] += step
            arguments = (moved[id(value)], moved[id(displacement)], "softmax", moved[id(importance)])
            values.append(float((by_definition(*arguments) * weights).sum()))  # type: ignore[arg-type]
        assert tensor.grad is not None
        assert abs(float(tensor.grad[index]) - (values[0] - values[1]) / 2e-3) < 2e-2


@pytest.mark.usefixtures("backend")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10_000), st.sampled_from([0.0, 0.01, 0.5, 4.0, 1e4]))
def test_averages_stay_within_their_sources(height: int, width: int, seed: int, reach: float) -> None:
    value, displacement = case((height, width), batch=1, seed=seed, reach=reach)
    result = splat(value, displacement)
    assert float(result.max()) <= max(float(value.max()), 0.0) + 1e-5
    assert float(result.min()) >= min(float(value.min()), 0.0) - 1e-5


V, D, M = torch.rand(2, 3, 4, 5), torch.zeros(2, 2, 4, 5), torch.ones(2, 1, 4, 5)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"kind": "median"}, "kind='median', must be"),
        ({"kind": "linear"}, "importance=None, kind='linear' takes one"),
        ({"importance": M}, r"importance=\(2, 1, 4, 5\), kind='average' takes none"),
        ({"displacement": D[:, :1]}, r"displacement=\(2, 1, 4, 5\), must be \[B, 2, H, W\]"),
        ({"values": []}, r"values=\[\], must hold"),
        ({"values": V[..., :4]}, r"values=\(2, 3, 4, 4\), must be \[2 or 1, C, 4, 5\]"),
        ({"values": [V, torch.rand(3, 3, 4, 5)]}, r"values=\(3, 3, 4, 5\), must be"),
        ({"kind": "linear", "importance": M[:, :, :3]}, r"importance=\(2, 1, 3, 5\), must be \[2 or 1, 1, 4, 5\]"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        splat(**{"values": V, "displacement": D, **arguments})  # type: ignore[call-overload]


def test_derivatives_in_float64_are_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels derive in float32."""
    calls: list[str] = []
    kept = reference.splat_sums
    monkeypatch.setattr(reference, "splat_sums", lambda *given: calls.append("reference") or kept(*given))
    monkeypatch.setattr(op, "splat", lambda *given: calls.append("operator") or kept(*given))
    value, displacement = case((5, 6), batch=1)
    splat(value.double().requires_grad_(), displacement)
    splat(value.clone().requires_grad_(), displacement)
    with torch.no_grad():
        splat(value.double().requires_grad_(), displacement)
    splat(value.double(), displacement)
    assert calls == ["reference", "operator", "operator", "operator"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_torch_operator_keeps_its_promises(backend: str, dtype: torch.dtype, weighted: bool) -> None:
    value, displacement = case((6, 9), channels=8)
    for values in ([value[:, :3], value.to(dtype)[:1]], [value.to(dtype, memory_format=torch.channels_last)[:, 1:]]):
        given = (values, displacement, torch.rand(2, 1, 6, 9) if weighted else None)
        torch.library.opcheck(torch.ops.vsvfi.splat.default, given, test_utils=CHECKS)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of the check's own
def test_the_torch_operator_can_be_compiled() -> None:
    """Traced with its gradients, as training does; loads torch's compiler."""
    value, displacement = case((6, 9), channels=8)
    values = [value.clone().requires_grad_(), value[:1, :3].clone()]
    given = (values, displacement.requires_grad_(), torch.rand(2, 1, 6, 9))
    torch.library.opcheck(torch.ops.vsvfi.splat.default, given, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("backend")
def test_weights_of_an_image_without_any_finite_importance() -> None:
    found = reference.weights("softmax", torch.full((1, 1, 2, 2), nan))
    assert found is not None
    assert bool(found.isnan().all())
    assert (
        float(
            splat(
                torch.ones(1, 1, 2, 2),
                torch.zeros(1, 2, 2, 2),
                kind="softmax",
                importance=torch.full((1, 1, 2, 2), nan),
            )
            .abs()
            .max()
        )
        == 0
    )


@pytest.mark.usefixtures("backend")
def test_nothing_is_splatted_to_nothing() -> None:
    assert splat(torch.zeros(2, 0, 3, 4), torch.zeros(2, 2, 3, 4)).shape == (2, 0, 3, 4)


def test_warming_up_makes_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[torch.dtype]] = []
    kept = reference.splat_sums
    monkeypatch.setattr(
        op, "splat", lambda parts, *others: seen.append({part.dtype for part in parts}) or kept(parts, *others)
    )
    warm_up(torch.device("cpu"), [[(3, torch.float32), (8, torch.bfloat16)], [(5, torch.float32)]])
    assert seen == [{torch.bfloat16, torch.float32}, {torch.float32}]
