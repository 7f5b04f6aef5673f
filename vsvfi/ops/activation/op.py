"""The torch operator `vsvfi::activation`: its kernels for CUDA and its shape. Other devices use the definition."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from vsvfi.ops import cuda as launchers
from vsvfi.ops.activation import cuda, reference
from vsvfi.ops.dispatch import Kernel, Operator, register


def _reference(values: Tensor, bias: Tensor, slopes: Tensor) -> Tensor:
    return reference.activate(values, bias, slopes)


def _cuda(backend: str, values: Tensor, bias: Tensor, slopes: Tensor) -> Tensor:
    return cuda.run(launchers.launcher(backend), values, bias, slopes)


def sample_inputs() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Planes and channels last, a slope for each channel and one for all."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    yield normal(2, 5, 9, 7), normal(5), normal(5)
    yield normal(2, 16, 5, 4).contiguous(memory_format=torch.channels_last), normal(16), normal(16)
    yield normal(1, 3, 2, 150).contiguous(memory_format=torch.channels_last), normal(3), normal(1)


ACTIVATION = Operator(
    "activation",
    reference=_reference,
    kernels=[Kernel(name, functools.partial(_cuda, name), cuda.declines) for name in ("nvrtc", "cupy")],
    sample_inputs=sample_inputs,
    multiply_adds=lambda values, bias, slopes: 0,  # as activations are counted everywhere
)


def _fake(values: Tensor, bias: Tensor, slopes: Tensor) -> Tensor:
    return torch.empty_like(values)


activation = register(ACTIVATION, _fake)
