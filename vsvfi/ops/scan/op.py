"""The torch operator `vsvfi::scan`, along paths: its kernels and shapes."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from vsvfi.ops import cuda as launchers
from vsvfi.ops.dispatch import Kernel, Operator, Shape, register
from vsvfi.ops.scan import cuda, mamba, reference


def _llvmlite(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    softplus: bool,
    reads: Tensor,
    writes: Tensor,
) -> Tensor:
    from vsvfi.ops.scan import cpu  # compiles with llvmlite, which may be missing

    return cpu.run(u, delta, A, B, C, D, delta_bias, softplus, reads, writes)


def _cuda(
    backend: str,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    softplus: bool,
    reads: Tensor,
    writes: Tensor,
) -> Tensor:
    return cuda.run(launchers.launcher(backend), u, delta, A, B, C, D, delta_bias, softplus, reads, writes)


def _reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    softplus: bool,
    reads: Tensor,
    writes: Tensor,
) -> Tensor:
    return reference.scan_paths(u, delta, A, B, C, D, delta_bias, softplus, reads, writes).contiguous()


def _declines(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    softplus: bool,
    reads: Tensor,
    writes: Tensor,
) -> str | None:
    return "float64" if any(tensor.dtype == torch.float64 for tensor in (u, delta, A, B, C, D, delta_bias)) else None


def _cuda_declines(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    softplus: bool,
    reads: Tensor,
    writes: Tensor,
) -> str | None:
    if A.shape[-1] > cuda.STATES:
        return f"{A.shape[-1]} states (at most {cuda.STATES})"
    return _declines(u, delta, A, B, C, D, delta_bias, softplus, reads, writes)


def sample_inputs() -> Iterator[tuple[Tensor | bool, ...]]:
    """Two paths of 70 tokens, more than a chunk of the CUDA kernels, 64 channels and 16 states."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")

    orders = [
        torch.stack([torch.randperm(70, generator=generator, dtype=torch.int32, device="cpu") for _ in range(2)])
        for _ in range(2)
    ]
    skip, bias = uniform(2, 2, 64)
    yield (
        normal(1, 70, 64),
        normal(1, 2, 70, 64),
        -uniform(2, 64, 16),
        normal(1, 2, 70, 16),
        normal(1, 2, 70, 16),
        skip,
        bias,
        True,
        *orders,
    )


def _multiply_adds(u: Shape, delta: Shape, a: Shape, *others: object) -> int:
    """Per token, channel and state: the state decays, takes in the input, and is read."""
    _, paths, length, channels = delta
    return u[0] * paths * length * channels * (3 * a[-1] + 1)


SCAN = Operator(
    "scan",
    reference=_reference,
    kernels=[
        Kernel("llvmlite", _llvmlite, _declines),
        Kernel("mamba_ssm", mamba.run, _declines),
        *(Kernel(name, functools.partial(_cuda, name), _cuda_declines) for name in ("nvrtc", "cupy")),
    ],
    sample_inputs=sample_inputs,
    multiply_adds=_multiply_adds,
)


def _fake(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    softplus: bool,
    reads: Tensor,
    writes: Tensor,
) -> Tensor:
    return torch.empty_like(u, memory_format=torch.contiguous_format)


scan = register(SCAN, _fake)
