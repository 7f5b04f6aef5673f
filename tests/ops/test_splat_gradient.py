"""Derivatives of the kernels of splatting against those of the reference, which torch derives."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan

import pytest
import torch
from torch import Tensor

from tests.ops.cuda_emulation.cupy_double import CupyDouble
from vsvfi.ops.splat import gradient, kernel_cupy, reference, splat
from vsvfi.ops.splat.gradient import Totalling


def case(shared: bool = False, reach: float = 3.0) -> tuple[list[Tensor], Tensor, Tensor, list[Tensor]]:
    """Values, a displacement of which some points leave the picture, importances, gradients of the results."""
    generator = torch.Generator().manual_seed(5)
    values = [torch.randn(2, 5, 9, 14, generator=generator), torch.randn(1 if shared else 2, 3, 9, 14, generator=generator)]
    displacement = reach * torch.randn(2, 2, 9, 14, generator=generator)
    importance = torch.randn(1 if shared else 2, 1, 9, 14, generator=generator)
    return values, displacement, importance, [torch.randn(2, channels, 9, 14, generator=generator) for channels in (5, 3)]


def derived(results: Sequence[Tensor], gradients: Sequence[Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    total = sum((result.float() * given).sum() for result, given in zip(results, gradients, strict=True))
    assert isinstance(total, Tensor)
    return torch.autograd.grad(total, inputs)


def agree(form: Totalling | None, kind: str, shared: bool) -> None:
    values, displacement, importance, gradients = case(shared)
    inputs = [tensor.requires_grad_() for tensor in (*values, displacement, *([] if kind == "average" else [importance]))]

    def weight() -> Tensor | None:
        return reference.weights(kind, None if kind == "average" else importance)

    if form is None:
        results = splat(values, displacement, kind=kind, importance=None if kind == "average" else importance)  # type: ignore[arg-type]
    else:
        results = gradient.splat_values(form, values, displacement, weight())
    expected = derived(reference.splat_values(values, displacement, weight()), gradients, inputs)
    for found, other in zip(derived(results, gradients, inputs), expected, strict=True):
        assert found.shape == other.shape
        assert float((found - other).norm()) < 2e-5 * float(other.norm())


def cupy(values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None) -> tuple[list[Tensor], Tensor]:
    total = kernel_cupy.total(displacement, weight)
    return [kernel_cupy.values(value, displacement, weight, total) for value in values], total


@pytest.mark.parametrize("backend", ["llvmlite"], indirect=True)
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", ["average", "linear", "softmax"])
def test_native_code_has_the_derivatives_of_the_reference(kind: str, shared: bool) -> None:
    agree(None, kind, shared)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", ["average", "linear", "softmax"])
@pytest.mark.usefixtures("emulated_cupy")
def test_the_cuda_kernel_has_the_derivatives_of_the_reference(kind: str, shared: bool) -> None:
    agree(cupy, kind, shared)


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


@pytest.mark.parametrize("backend", ["llvmlite"], indirect=True)
@pytest.mark.usefixtures("backend")
def test_what_is_left_out_has_no_gradient() -> None:
    values, displacement, _, gradients = case()
    displacement[0, 0, 2, 3], displacement[1, 1, 4, 5], displacement[0, 1, 6, 6], displacement[1, 0, 0, 0] = nan, inf, -inf, 1e30
    inputs = [tensor.requires_grad_() for tensor in (*values, displacement)]
    for tensor in derived(splat(values, displacement), gradients, inputs):
        assert bool(tensor.isfinite().all())
        for index, row, column in ((0, 2, 3), (1, 4, 5), (0, 6, 6), (1, 0, 0)):
            assert not tensor[index, :, row, column].any()


@pytest.mark.parametrize("backend", ["llvmlite"], indirect=True)
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_have_the_types_of_their_tensors(dtype: torch.dtype) -> None:
    values, displacement, _, gradients = case()
    inputs = [values[0].to(dtype).requires_grad_(), values[1].requires_grad_(), displacement.requires_grad_()]
    rounded = [inputs[0].detach().float().requires_grad_(), *inputs[1:]]
    found = derived(splat(inputs[:2], inputs[2]), gradients, inputs)
    expected = derived(reference.splat_values(rounded[:2], rounded[2], None), gradients, rounded)
    for one, other, tensor in zip(found, expected, inputs, strict=True):
        assert one.dtype == tensor.dtype
        assert float((one.float() - other).norm()) < 0.02 * float(other.norm())


def test_only_tensors_that_want_a_gradient_get_one(emulated_cupy: CupyDouble) -> None:
    values, displacement, _, gradients = case()
    values[1].requires_grad_()
    results = gradient.splat_values(cupy, values, displacement, None)
    (results[1] * gradients[1]).sum().backward()
    assert values[1].grad is not None
    assert values[0].grad is None
    assert displacement.grad is None


def test_there_are_first_derivatives_alone(emulated_cupy: CupyDouble) -> None:
    values, displacement, _, gradients = case()
    inputs = [value.requires_grad_() for value in values]
    results = gradient.splat_values(cupy, inputs, displacement, None)
    total = sum((result * given).square().sum() for result, given in zip(results, gradients, strict=True))
    assert isinstance(total, Tensor)
    (first,) = torch.autograd.grad(total, inputs[:1], create_graph=True)
    with pytest.raises(RuntimeError):
        first.sum().backward()
