"""The fast PReLU has the bits, the strides and the gradients of torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.models.blocks.prelu import PReLU


def made(channels: int, height: int, width: int, dtype: torch.dtype) -> tuple[PReLU, Tensor]:
    generator = torch.Generator().manual_seed(channels)
    module = PReLU(channels).to(dtype)
    module.weight.data = torch.rand(channels, generator=generator).to(dtype) - 0.3
    image = torch.randn(2, channels, height, width, generator=generator).to(dtype)
    return module, image.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("channels", "height", "width"), [(16, 12, 20), (24, 5, 7), (32, 4, 4), (3, 3, 5), (1, 4, 6)])
def test_bits_and_strides_are_those_of_torch(channels: int, height: int, width: int, dtype: torch.dtype) -> None:
    module, image = made(channels, height, width, dtype)
    with torch.inference_mode():
        for given in (image, image.contiguous(), image[:, :, : max(1, height - 1)]):
            result, expected = module(given), functional.prelu(given, module.weight)
            assert torch.equal(result, expected)
            assert result.stride() == expected.stride()


def test_gradients_reach_weights_and_inputs() -> None:
    module, image = made(8, 4, 4, torch.float32)
    image.requires_grad_()
    module(image).sum().backward()
    assert module.weight.grad is not None
    assert image.grad is not None
    assert torch.equal(module.weight.grad, image.detach().clamp(max=0).sum((0, 2, 3)))
