"""Derivatives of the kernels of splatting against those of the reference, which torch derives."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import inf, nan

import pytest
import torch
from torch import Tensor

from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from vsvfi.ops.dispatch import Kernel
from vsvfi.ops.splat import cuda, op, reference, splat


def case(shared: bool = False, reach: float = 3.0) -> tuple[list[Tensor], Tensor, Tensor, list[Tensor]]:
    """Values, a displacement of which some points leave the image, importances, gradients of the results."""
    generator = torch.Generator().manual_seed(5)
    values = [
        torch.randn(2, 5, 9, 14, generator=generator),
        torch.randn(1 if shared else 2, 3, 9, 14, generator=generator),
    ]
    displacement = reach * torch.randn(2, 2, 9, 14, generator=generator)
    importance = torch.randn(1 if shared else 2, 1, 9, 14, generator=generator)
    return (
        values,
        displacement,
        importance,
        [torch.randn(2, channels, 9, 14, generator=generator) for channels in (5, 3)],
    )


def derived(results: Sequence[Tensor], gradients: Sequence[Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    total = sum((result.float() * given).sum() for result, given in zip(results, gradients, strict=True))
    assert isinstance(total, Tensor)
    return torch.autograd.grad(total, inputs)


def agree(kind: str, shared: bool) -> None:
    values, displacement, importance, gradients = case(shared)
    inputs = [
        tensor.requires_grad_() for tensor in (*values, displacement, *([] if kind == "average" else [importance]))
    ]
    given = None if kind == "average" else importance
    results = splat(values, displacement, kind=kind, importance=given)  # type: ignore[call-overload]
    *expected, _ = reference.splat_sums(values, displacement, reference.weights(kind, given))
    for found, other in zip(derived(results, gradients, inputs), derived(expected, gradients, inputs), strict=True):
        assert found.shape == other.shape
        assert float((found - other).norm()) < 2e-5 * float(other.norm())


@pytest.fixture
def by_cuda(emulated: EmulatedLauncher, fresh_choice: None, monkeypatch: pytest.MonkeyPatch) -> EmulatedLauncher:
    """The CUDA kernel takes calls on the CPU."""
    monkeypatch.delenv("VSVFI_OPS", raising=False)
    monkeypatch.setattr(op.SPLAT, "kernels", (Kernel("llvmlite", functools.partial(cuda.run, emulated)),))
    return emulated


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", ["average", "linear", "softmax"])
def test_kernels_for_the_cpu_have_the_derivatives_of_the_reference(kind: str, shared: bool) -> None:
    agree(kind, shared)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", ["average", "linear", "softmax"])
def test_the_cuda_kernel_has_the_derivatives_of_the_reference(
    by_cuda: EmulatedLauncher, kind: str, shared: bool
) -> None:
    agree(kind, shared)
    assert {launch.name for launch in by_cuda.launches} == {"splat_total", "splat_sums", "splat_divide"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("kind", ["average", "linear", "softmax"])
def test_derivatives_on_a_gpu_are_those_on_the_cpu(kind: str) -> None:
    values, displacement, importance, gradients = case()
    found = []
    for device in ("cpu", "cuda"):
        inputs = [tensor.to(device).requires_grad_() for tensor in (*values, displacement, importance)]
        given = {} if kind == "average" else {"importance": inputs[3]}
        results = splat(inputs[:2], inputs[2], kind=kind, **given)  # type: ignore[arg-type]
        wanted = inputs[: 3 + len(given)]
        found.append([tensor.cpu() for tensor in derived(results, [tensor.to(device) for tensor in gradients], wanted)])
    for one, other in zip(*found, strict=True):
        assert float((one - other).norm()) < 2e-5 * float(one.norm())


@pytest.mark.usefixtures("backend")
def test_what_is_left_out_has_no_gradient() -> None:
    values, displacement, _, gradients = case()
    displacement[0, 0, 2, 3], displacement[1, 1, 4, 5], displacement[0, 1, 6, 6], displacement[1, 0, 0, 0] = (
        nan,
        inf,
        -inf,
        1e30,
    )
    inputs = [tensor.requires_grad_() for tensor in (*values, displacement)]
    for tensor in derived(splat(values, displacement), gradients, inputs):
        assert bool(tensor.isfinite().all())
        for index, row, column in ((0, 2, 3), (1, 4, 5), (0, 6, 6), (1, 0, 0)):
            assert not tensor[index, :, row, column].any()


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_have_the_types_of_their_tensors(dtype: torch.dtype) -> None:
    values, displacement, _, gradients = case()
    inputs = [values[0].to(dtype).requires_grad_(), values[1].requires_grad_(), displacement.requires_grad_()]
    rounded = [inputs[0].detach().float().requires_grad_(), *inputs[1:]]
    found = derived(splat(inputs[:2], inputs[2]), gradients, inputs)
    expected = derived(reference.splat_sums(rounded[:2], rounded[2], None)[:-1], gradients, rounded)
    for one, other, tensor in zip(found, expected, inputs, strict=True):
        assert one.dtype == tensor.dtype
        assert float((one.float() - other).norm()) < 0.02 * float(other.norm())


def test_only_tensors_that_want_a_gradient_get_one() -> None:
    values, displacement, _, gradients = case()
    values[1].requires_grad_()
    results = splat(values, displacement)
    (results[1] * gradients[1]).sum().backward()
    assert values[1].grad is not None
    assert values[0].grad is None
    assert displacement.grad is None


def squares(results: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    total = sum((result * given).square().sum() for result, given in zip(results, gradients, strict=True))
    assert isinstance(total, Tensor)
    return total


def slope(inputs: Sequence[Tensor], displacement: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    """The squared first derivative of `squares`; quadratic in the inputs."""
    first = torch.autograd.grad(squares(splat(inputs, displacement), gradients), inputs, create_graph=True)
    return torch.stack([part.square().sum() for part in first]).sum()


def test_second_derivatives_of_values_are_right() -> None:
    values, displacement, _, gradients = case()
    inputs = [value.requires_grad_() for value in values]
    seconds = torch.autograd.grad(slope(inputs, displacement, gradients), inputs)
    steps = [torch.randn(value.shape, generator=torch.Generator().manual_seed(1)) for value in inputs]
    ahead, behind = (
        slope(
            [(value + sign * step).detach().requires_grad_() for value, step in zip(inputs, steps, strict=True)],
            displacement,
            gradients,
        )
        for sign in (1, -1)
    )
    found = sum(float((second * step).sum()) for second, step in zip(seconds, steps, strict=True))
    assert found == pytest.approx(float((ahead - behind).detach()) / 2, rel=1e-3)
