"""The local correlation volume against its definition, offset by offset."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from vsvfi.ops.correlation import cuda, local_correlation, op


def by_definition(first: Tensor, second: Tensor, radius: int) -> Tensor:
    height, width = first.shape[2:]
    padded = functional.pad(second.double(), (radius,) * 4)
    reach = 2 * radius + 1
    planes = [
        (first.double() * padded[:, :, y : y + height, x : x + width]).mean(1)
        for y in range(reach)
        for x in range(reach)
    ]
    return torch.stack(planes, 1)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 16), (9, 17), (4, 50)])
@pytest.mark.parametrize("radius", [0, 1, 4])
def test_it_is_its_definition(size: tuple[int, int], radius: int) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 2, 24, *size, generator=generator)
    result = local_correlation(first, second, radius)
    assert result.shape == (2, (2 * radius + 1) ** 2, *size)
    assert torch.allclose(result.double(), by_definition(first, second, radius), atol=1e-5)


def test_layout_and_type() -> None:
    first, second = torch.randn(2, 1, 16, 6, 20)
    last = local_correlation(*(tensor.contiguous(memory_format=torch.channels_last) for tensor in (first, second)), 4)
    assert torch.allclose(last, local_correlation(first, second, 4), atol=1e-6)
    near = local_correlation(first.bfloat16(), second.bfloat16(), 4)
    assert near.dtype == torch.bfloat16
    assert float((near.float() - last).abs().max()) < 0.03


def test_gradients() -> None:
    first, second = (torch.randn(1, 3, 4, 18, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weights = torch.randn(1, 9, 4, 18, dtype=torch.float64)
    (local_correlation(first, second, 1) * weights).sum().backward()
    found = first.grad, second.grad
    first.grad = second.grad = None
    (by_definition(first, second, 1) * weights).sum().backward()
    for gradient, tensor in zip(found, (first, second)):
        assert gradient is not None
        assert tensor.grad is not None
        assert torch.allclose(gradient, tensor.grad)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"second=\(1, 3, 4, 6\), must have the shape of first=\(1, 3, 4, 5\)"):
        local_correlation(torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 6), 4)
    with pytest.raises(ValueError, match="radius=-1, must be 0 or more"):
        local_correlation(torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 5), -1)


SAMPLES = list(op.sample_inputs())


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sample", SAMPLES, ids=["planes", "channels last", "parts, small", "radius 0"])
def test_one_launch_is_the_definition(
    emulated: EmulatedLauncher, sample: tuple[Tensor, Tensor, int], backwards: bool
) -> None:
    emulated.backwards = backwards
    found = cuda.run(emulated, *sample)
    torch.testing.assert_close(found.double(), by_definition(*sample), rtol=1e-5, atol=1e-6)
    assert found.permute(0, 2, 3, 1).is_contiguous()
    assert [launch.name for launch in emulated.launches] == ["correlation"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_kernel_sums_narrow_types_in_float32(emulated: EmulatedLauncher, dtype: torch.dtype) -> None:
    first, second = torch.randn(2, 1, 300, 2, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = cuda.run(emulated, first, second, 1)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), by_definition(first, second, 1), rtol=torch.finfo(dtype).eps, atol=1e-6)


def test_the_operator_is_registered_right() -> None:
    torch.library.opcheck(op.correlation, SAMPLES[0], test_utils=("test_schema", "test_faketensor"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_gpu_agrees_with_the_reference(sample: tuple[Tensor, Tensor, int]) -> None:
    first, second, radius = sample
    found = local_correlation(first.cuda(), second.cuda(), radius)
    torch.testing.assert_close(found.cpu().double(), by_definition(*sample), rtol=1e-4, atol=1e-5)
