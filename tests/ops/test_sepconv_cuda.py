"""The CUDA kernel of the deformable separable convolution, run on the CPU, against the reference.

Also on a GPU, where there is one.
"""

from __future__ import annotations

from math import inf, nan

import pytest
import torch
from torch import Tensor

from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from tests.ops.test_sepconv import maps, random_image
from vsvfi.ops.sepconv import cuda, reference, sepconv

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SIZES = [(1, 1), (3, 40), (17, 5), (9, 33)]  # more than a block across, down, and both


def scene(
    size: tuple[int, int], batch: int, dtype: torch.dtype = torch.float32, channels: int = 3
) -> tuple[Tensor, list[Tensor]]:
    """An image, and maps with everything that can go wrong in them."""
    values = maps(*size, batch, seed=3, reach=6.0)
    for number, broken in enumerate((inf, -inf, 1e30, -1e30, 4.0, -4.0)):
        values["alpha" if number % 2 else "beta"][:, number * 4, number % size[0], :: 3 + number] = broken
    return random_image(size[0] + 2, size[1] + 3, batch, channels), [tensor.to(dtype) for tensor in values.values()]


def agree(emulated: EmulatedLauncher, image: Tensor, values: list[Tensor], top: int = 0, left: int = 0) -> None:
    found, expected = cuda.run(emulated, image, *values, top, left), reference.sepconv(image, *values, top, left)
    assert (found.dtype, found.shape) == (torch.float32, expected.shape)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5, equal_nan=True)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_the_kernel_is_the_reference(
    emulated: EmulatedLauncher, size: tuple[int, int], dtype: torch.dtype, backwards: bool
) -> None:
    emulated.backwards = backwards
    image, values = scene(size, 2, dtype)
    agree(emulated, image, values)
    agree(
        emulated,
        image.contiguous(memory_format=torch.channels_last),
        [tensor.contiguous(memory_format=torch.channels_last) for tensor in values],
        1,
        2,
    )


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_and_a_shared_image(emulated: EmulatedLauncher, channels: int) -> None:
    image, values = scene((6, 9), 3, channels=channels)
    agree(emulated, image, values)
    agree(emulated, image[:1], values)


def test_parts_and_any_strides(emulated: EmulatedLauncher) -> None:
    image, values = scene((9, 12), 2)
    whole = cuda.run(emulated, image, *values, 0, 0)
    part = cuda.run(emulated, image, *(tensor[:, :, 2:7, 3:9] for tensor in values), 2, 3)
    assert torch.equal(part, whole[:, :, 2:7, 3:9])
    turned = [tensor.transpose(2, 3).contiguous().transpose(2, 3) for tensor in (image, *values)]
    assert torch.equal(cuda.run(emulated, *turned, 0, 0), whole)


def test_maps_of_several_types_are_read_in_float32(emulated: EmulatedLauncher) -> None:
    image, values = scene((6, 9), 1)
    mixed = [values[0].half(), values[1].bfloat16(), *values[2:]]
    assert torch.equal(
        cuda.run(emulated, image, *mixed, 0, 0), cuda.run(emulated, image, *(tensor.float() for tensor in mixed), 0, 0)
    )
    doubles = [tensor.double() for tensor in values]
    assert torch.equal(cuda.run(emulated, image.double(), *doubles, 0, 0), cuda.run(emulated, image, *values, 0, 0))
    assert [dict(option.split("=") for option in options[1:]) for _, options in emulated.compiled] == [
        {"-DELEMENT": "float"}
    ]


def test_what_is_not_a_number_stays_in_its_pixel(emulated: EmulatedLauncher) -> None:
    image, values = scene((5, 6), 1)
    values = [tensor.nan_to_num(posinf=9.0, neginf=-9.0) for tensor in values]
    for tensor in values:
        tensor[0, 3, 2, 4] = nan
        assert cuda.run(emulated, image, *values, 0, 0).isnan().nonzero()[:, 2:].unique(dim=0).tolist() == [[2, 4]]
        tensor[0, 3, 2, 4] = 0


def test_nothing_to_do_is_nothing_done(emulated: EmulatedLauncher) -> None:
    image, values = scene((5, 6), 1)
    assert cuda.run(emulated, image, *(tensor[:, :, :, :0] for tensor in values), 0, 0).shape == (1, 3, 5, 0)
    assert emulated.launches == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*SIZES, (270, 480)])
def test_a_gpu_agrees_with_the_reference(size: tuple[int, int], dtype: torch.dtype) -> None:
    image, values = scene(size, 2, dtype)
    found = sepconv(image.cuda(), *(tensor.cuda() for tensor in values))
    torch.testing.assert_close(found.cpu(), reference.sepconv(image, *values, 0, 0), rtol=2e-5, atol=2e-5)
