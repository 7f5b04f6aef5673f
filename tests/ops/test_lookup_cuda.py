"""The CUDA kernels of the correlation lookup, run on the CPU, against the definition sampled point by point.

Also on a GPU, where there is one.
"""

from __future__ import annotations

from math import inf, nan

import pytest
import torch

from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from tests.ops.test_lookup import by_definition, scene
from vsvfi.ops import lookup as operator
from vsvfi.ops.lookup import OnDemand, Volume, correlate, cuda, reference

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
FORMS = [pytest.param(1 << 40, id="volume"), pytest.param(0, id="on demand")]


def run(
    emulated: EmulatedLauncher, correlation: operator.Correlation, centres: torch.Tensor, radius: int
) -> torch.Tensor:
    if isinstance(correlation, Volume):
        return cuda.from_volume(emulated, correlation.levels, centres, radius)
    return cuda.on_demand(emulated, correlation.source, correlation.targets, centres, radius)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("budget", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_kernels_are_the_definition(
    emulated: EmulatedLauncher, dtype: torch.dtype, budget: int, backwards: bool
) -> None:
    emulated.backwards = backwards
    first, second, centres = scene((3, 5), (9, 14), batch=1, channels=40)
    first, second = first.to(dtype), second.to(dtype)
    centres[0, :, 0, :5] = torch.tensor([[nan, 2.0], [2.0, inf], [-inf, 2.0], [1e30, 3.0], [3.0, -1e30]]).T
    found = run(emulated, correlate(first, second, levels=4, factor=0.25, budget=budget), centres, 4)
    expected = by_definition(first, second, torch.nan_to_num(centres, 1e9, 1e9, -1e9), 4, 4, 0.25)
    assert (found.dtype, found.shape) == (dtype, (1, 324, 3, 5))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert not found[:, 243:].any()  # one pixel high
    bound = 2e-5 if dtype == torch.float32 else 3 * torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), expected, rtol=bound, atol=bound * float(expected.abs().max()))


@pytest.mark.parametrize("budget", FORMS)
@pytest.mark.parametrize("radius", [0, 1, 7])
def test_windows_of_any_size(emulated: EmulatedLauncher, radius: int, budget: int) -> None:
    first, second, centres = scene((2, 2), (17, 8), batch=1, channels=3)
    found = run(emulated, correlate(first, second, levels=2, budget=budget), centres, radius)
    torch.testing.assert_close(
        found.double(), by_definition(first, second, centres, 2, radius, 1.0), rtol=2e-5, atol=2e-5
    )


@pytest.mark.parametrize("budget", FORMS)
def test_one_correlation_serves_a_batch_and_strides_are_read(emulated: EmulatedLauncher, budget: int) -> None:
    first, second, centres = scene((2, 3), (6, 7), batch=3)
    correlation = correlate(first[:1], second[:1], levels=2, budget=budget)
    turned = centres.transpose(2, 3).contiguous().transpose(2, 3)
    expected = by_definition(first[:1].expand(3, -1, -1, -1), second[:1].expand(3, -1, -1, -1), centres, 2, 4, 1.0)
    torch.testing.assert_close(run(emulated, correlation, turned, 4).double(), expected, rtol=2e-5, atol=2e-5)
    if isinstance(correlation, OnDemand):  # features as they come from elsewhere
        plain = OnDemand(correlation.source.contiguous(), tuple(target.contiguous() for target in correlation.targets))
        torch.testing.assert_close(run(emulated, plain, centres, 4).double(), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("budget", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gpu_agrees(dtype: torch.dtype, budget: int) -> None:
    first, second, centres = (tensor.cuda() for tensor in scene((34, 60), (34, 60), channels=256))
    correlation = correlate(first.to(dtype), second.to(dtype), levels=4, factor=1 / 16, budget=budget)
    found = operator.lookup(correlation, centres, 4)
    if isinstance(correlation, Volume):
        expected = reference.from_volume(correlation.levels, centres, 4)
    else:
        expected = reference.on_demand(correlation.source, correlation.targets, centres, 4)
    bound = 1e-5 if dtype == torch.float32 else 3 * torch.finfo(dtype).eps
    torch.testing.assert_close(found, expected, rtol=bound, atol=bound * float(expected.abs().max()))
