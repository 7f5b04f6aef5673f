"""The CUDA kernel of backward warping, run on the CPU, against its definition. Also on a GPU, where there is one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from vsvfi.ops.warp import backward_warp, cuda, op, reference

SAMPLES = list(op.sample_inputs())


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sample", SAMPLES, ids=["planes", "channels last, shared", "strip"])
def test_one_launch_is_the_definition(
    emulated: EmulatedLauncher, sample: tuple[Tensor, Tensor, int], backwards: bool
) -> None:
    emulated.backwards = backwards
    found, expected = cuda.run(emulated, *sample), reference.warp_strip(*sample)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert [launch.name for launch in emulated.launches] == ["warp"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_positions_exact(emulated: EmulatedLauncher, dtype: torch.dtype) -> None:
    """A view of some channels, as in a network, and a flow that leads far to the right."""
    image = torch.rand(1, 7, 2, 3000, generator=torch.Generator().manual_seed(1)).to(dtype)[:, 2:5]
    flow = torch.full((1, 4, 2, 3000), 100.25)[:, 2:]
    found, expected = cuda.run(emulated, image, flow, 0), reference.warp_strip(image, flow, 0)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=2 * torch.finfo(dtype).eps, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("sample", SAMPLES, ids=["planes", "channels last, shared", "strip"])
def test_a_gpu_agrees_with_the_reference(sample: tuple[Tensor, Tensor, int]) -> None:
    image, flow, top = sample
    found = backward_warp(image.cuda(), flow.cuda(), top)
    torch.testing.assert_close(found.cpu(), reference.warp_strip(*sample), rtol=1e-4, atol=1e-4)
