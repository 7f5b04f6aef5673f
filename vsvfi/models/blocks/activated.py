"""Convolutions that share one pass over memory for bias and activation on CUDA."""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.constants import Constants
from vsvfi.ops.activation import activate


class Activated(nn.Sequential):
    """`nn.Sequential`, with a faster path on CUDA for convolutions that a LeakyReLU or PReLU follows."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(*modules)
        self._constants = Constants(self)

    def forward(self, input: Tensor) -> Tensor:
        if not _fuses(input):
            result: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
            return result
        modules = [*self, None]
        skipped = False
        for module, following in itertools.pairwise(modules):
            assert module is not None
            if skipped:
                skipped = False
                continue
            slopes = None if following is None else self._slopes(following, input)
            bias = module.bias if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) else None
            if slopes is not None and bias is not None:
                input, skipped = activate(_without_bias(module, input), bias, slopes), True
            else:
                input = module(input)
        return input

    def _slopes(self, module: nn.Module, like: Tensor) -> Tensor | None:
        """The slopes of an activation, or None if it is another module."""
        if isinstance(module, nn.PReLU):
            return module.weight
        return _slope(module.negative_slope, like, self._constants) if isinstance(module, nn.LeakyReLU) else None


def leaky_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    slope: float,
    constants: Constants,
    *,
    stride: int = 1,
    padding: int = 1,
    groups: int = 1,
) -> Tensor:
    """Return the LeakyReLU of a convolution; `constants` remembers the slope on the device."""
    if _fuses(input) and bias is not None:
        values = functional.conv2d(input, weight, None, stride, padding, groups=groups)
        return activate(values, bias, _slope(slope, input, constants))
    values = functional.conv2d(input, weight, bias, stride, padding, groups=groups)
    return functional.leaky_relu(values, slope, inplace=not torch.is_grad_enabled())


def _slope(slope: float, like: Tensor, constants: Constants) -> Tensor:
    """One slope for all channels, [1], of the type and device of `like`."""
    dtype, device = like.dtype, like.device
    return constants.get((slope, dtype, device), lambda: torch.full((1,), slope, dtype=dtype, device=device))


def _fuses(input: Tensor) -> bool:
    """Whether bias and activation are left to one kernel."""
    return input.device.type == "cuda" and not torch.is_grad_enabled()


def _without_bias(module: nn.Conv2d | nn.ConvTranspose2d, input: Tensor) -> Tensor:
    """What the convolution computes before its bias is added."""
    if isinstance(module, nn.Conv2d):
        result: Tensor = module._conv_forward(input, module.weight, None)
        return result
    # of modules that are built with numbers or tuples; only nn.Conv2d also takes a name
    stride, padding, dilation = (cast("tuple[int, int]", it) for it in (module.stride, module.padding, module.dilation))
    output = cast("tuple[int, int]", module.output_padding)
    return functional.conv_transpose2d(input, module.weight, None, stride, padding, output, module.groups, dilation)
