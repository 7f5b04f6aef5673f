"""Merging two images: its definition, and the CUDA kernel, run on the CPU. Also on a GPU, where there is one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from vsvfi.ops.merge import cuda, merge_images, op, reference

SAMPLES = list(op.sample_inputs())
NAMES = ["planes", "channels last"]


def test_masks_and_time_weigh_the_images() -> None:
    first, second = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    output = torch.zeros(1, 5, 2, 2)
    assert torch.allclose(merge_images(output, first, second, torch.full((1, 1, 1, 1), 0.25)), torch.tensor(0.25))
    output[:, 3] = -40  # the first image does not count
    output[:, 2] = 40  # and the last channel gets all of the residual
    made = merge_images(output, first, second, torch.full((1, 1, 1, 1), 0.25))
    assert torch.allclose(made, torch.tensor([1.0, 1, 2]).reshape(1, 3, 1, 1))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
def test_one_launch_is_the_definition(
    emulated: EmulatedLauncher, sample: tuple[Tensor, Tensor, Tensor, Tensor], backwards: bool
) -> None:
    emulated.backwards = backwards
    found = cuda.run(emulated, *sample)
    torch.testing.assert_close(found, reference.merge_images(*sample), rtol=1e-5, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert [launch.name for launch in emulated.launches] == ["merge_images"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_outputs_in_half_precision_are_read_as_they_are(emulated: EmulatedLauncher, dtype: torch.dtype) -> None:
    output, *others = SAMPLES[0]
    found = cuda.run(emulated, output.to(dtype), *others)
    torch.testing.assert_close(found, reference.merge_images(output.to(dtype), *others), rtol=1e-5, atol=1e-5)


def test_the_operator_is_registered_right() -> None:
    torch.library.opcheck(op.merge_images, SAMPLES[0], test_utils=("test_schema", "test_faketensor"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
def test_a_gpu_agrees_with_the_reference(sample: tuple[Tensor, ...]) -> None:
    found = merge_images(*(tensor.cuda() for tensor in sample))
    torch.testing.assert_close(found.cpu(), reference.merge_images(*sample), rtol=1e-4, atol=1e-4)
