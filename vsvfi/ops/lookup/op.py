"""The torch operator `vsvfi::lookup`: its kernels and shapes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor

from vsvfi.ops import cuda as launchers
from vsvfi.ops.dispatch import BILINEAR, Kernel, Operator, Shape, register
from vsvfi.ops.lookup import cuda, reference

LARGEST_RADIUS = 7
"""Largest window radius that the kernels support."""


def _llvmlite(levels: Sequence[Tensor], source: Tensor | None, centres: Tensor, radius: int) -> Tensor:
    from vsvfi.ops.lookup import cpu  # compiles with llvmlite, which may be missing

    return (
        cpu.from_volume(levels, centres, radius) if source is None else cpu.on_demand(source, levels, centres, radius)
    )


def _cuda(backend: str, levels: Sequence[Tensor], source: Tensor | None, centres: Tensor, radius: int) -> Tensor:
    launcher = launchers.launcher(backend)
    return (
        cuda.from_volume(launcher, levels, centres, radius)
        if source is None
        else cuda.on_demand(launcher, source, levels, centres, radius)
    )


def _reference(levels: Sequence[Tensor], source: Tensor | None, centres: Tensor, radius: int) -> Tensor:
    return (
        reference.from_volume(levels, centres, radius)
        if source is None
        else reference.on_demand(source, levels, centres, radius)
    )


def _declines(levels: Sequence[Tensor], source: Tensor | None, centres: Tensor, radius: int) -> str | None:
    if levels[0].dtype not in launchers.TYPES:
        return f"{str(levels[0].dtype).removeprefix('torch.')} features"
    return f"radius={radius} (at most {LARGEST_RADIUS})" if radius > LARGEST_RADIUS else None


def sample_inputs() -> Iterator[tuple[list[Tensor], Tensor | None, Tensor, int]]:
    """The window that networks use, from volumes and on demand, around centres inside, outside and not finite."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    source, *targets = (normal(2, 40, *size) for size in ((5, 7), (9, 14), (4, 7)))
    volumes = [normal(2, 35, *target.shape[2:]) for target in targets]
    centres = 16 * torch.rand(2, 2, 5, 7, generator=generator, dtype=torch.float32, device="cpu") - 2
    centres[0, :, 0, :3] = torch.tensor([torch.nan, torch.inf, -1e30], dtype=torch.float32, device="cpu")
    yield volumes, None, centres, 4
    yield targets, source, centres, 4


def _multiply_adds(levels: Sequence[Shape], source: Shape | None, centres: Shape, radius: int) -> int:
    """A window of samples in every level; on demand also the products that they are taken from."""
    window, around = (2 * radius + 1) ** 2, (2 * radius + 2) ** 2
    products = 0 if source is None else around * source[1]
    return centres[0] * prod(centres[2:]) * len(levels) * (BILINEAR * window + products)


LOOKUP = Operator(
    "lookup",
    reference=_reference,
    kernels=[
        Kernel("llvmlite", _llvmlite, _declines),
        *(Kernel(name, functools.partial(_cuda, name), _declines) for name in ("nvrtc", "cupy")),
    ],
    sample_inputs=sample_inputs,
    multiply_adds=_multiply_adds,
)


def _fake(levels: Sequence[Tensor], source: Tensor | None, centres: Tensor, radius: int) -> Tensor:
    batch, _, height, width = centres.shape
    like = levels[0] if source is None else source
    return like.new_empty(batch, height, width, len(levels) * (2 * radius + 1) ** 2).permute(0, 3, 1, 2)


lookup = register(LOOKUP, _fake)
