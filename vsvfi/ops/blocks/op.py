"""The torch operators on blocks: their kernels for CUDA and their shapes. Other devices use the definitions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from math import prod
from typing import Concatenate

import torch
from torch import Tensor

from vsvfi.ops import cuda as launchers
from vsvfi.ops.blocks import cuda, reference
from vsvfi.ops.blocks.reference import STEP
from vsvfi.ops.dispatch import BILINEAR, Kernel, Operator, Shape, register


def _dense[**P](compute: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Lay the definition's result out like the kernels'."""

    @functools.wraps(compute)
    def computed(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        return compute(*args, **kwargs).contiguous()

    return computed


def _normalise(backend: str, image: Tensor, luma: bool) -> Tensor:
    return cuda.normalise(launchers.launcher(backend), image, luma)


def _block_scores(backend: str, first: Tensor, second: Tensor, down: int, across: int) -> Tensor:
    return cuda.block_scores(launchers.launcher(backend), first, second, down, across)


def _best_block(
    backend: str, scores: Tensor, down: int, across: int, offset_down: float, offset_across: float
) -> Tensor:
    return cuda.best_block(launchers.launcher(backend), scores, down, across, offset_down, offset_across)


def _candidate_errors(
    backend: str,
    own: Tensor,
    others: Tensor,
    flow: Tensor,
    other: Tensor | None,
    blocks: Tensor,
    apart: int,
    top: int,
) -> Tensor:
    return cuda.candidate_errors(launchers.launcher(backend), own, others, flow, other, blocks, apart, top)


def _weigh_candidates(
    backend: str,
    errors: Tensor,
    flow: Tensor,
    other: Tensor | None,
    blocks: Tensor,
    around: Tensor | None,
    cost: float,
) -> Tensor:
    return cuda.weigh_candidates(launchers.launcher(backend), errors, flow, other, blocks, around, cost)


def _normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float32, device="cpu")


def _normalise_samples() -> Iterator[tuple[Tensor | bool, ...]]:
    yield _normal(2, 3, 24, 13), False
    yield _normal(2, 3, 5, 30).contiguous(memory_format=torch.channels_last), True


def _score_samples() -> Iterator[tuple[Tensor | int, ...]]:
    """Parts of larger images among them."""
    yield _normal(2, 1, 16, 24), _normal(2, 1, 16, 24), 2, 5
    yield _normal(2, 3, 24, 12)[:, :, 4:20], _normal(2, 3, 16, 12), 3, 0


def _best_samples() -> Iterator[tuple[Tensor | int | float, ...]]:
    yield _normal(2, 35, 5, 7), 2, 3, 0.0, 0.0
    yield _normal(2, 15, 3, 9), 2, 1, 0.5, 0.0


def _flow_samples() -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
    """Of pixels and of blocks, out of the image here and there."""
    yield 6 * _normal(2, 2, 8, 20), None, 6 * _normal(3, 2, 2, 2, 5)
    yield 6 * _normal(2, 2, 12, 8), 3 * _normal(2, 2, 12, 8), 6 * _normal(1, 2, 2, 3, 2)


def _error_samples() -> Iterator[tuple[Tensor | int | None, ...]]:
    """Every second pixel, and some rows."""
    flow, other, blocks = next(samples := _flow_samples())
    yield _normal(2, 3, 16, 40)[..., ::2, ::2], _normal(2, 3, 16, 40), flow, other, blocks, 2, 0
    flow, other, blocks = next(samples)
    yield _normal(2, 3, 12, 8), _normal(2, 3, 20, 8), flow, other, blocks, 1, 4


def _weigh_samples() -> Iterator[tuple[Tensor | float | None, ...]]:
    for number, (flow, other, blocks) in enumerate(_flow_samples()):
        count = (1 if other is None else 2) + 4 * len(blocks)
        around = flow.flip(3) if number else None
        yield _normal(count, *flow[:, 0].shape).abs() / 10, flow, other, blocks, around, 0.05


def _kernels[**P](gpu: Callable[Concatenate[str, P], Tensor]) -> list[Kernel[P, Tensor]]:
    """Each way to compile and launch the CUDA kernel."""
    kernels = []
    for name in ("nvrtc", "cupy"):
        run: Callable[P, Tensor] = functools.partial(gpu, name)
        kernels.append(Kernel(name, run))
    return kernels


def _scores_multiply_adds(first: Shape, second: Shape, down: int, across: int) -> int:
    """Every displacement is a product of two images."""
    return prod(first) * (2 * down + 1) * (2 * across + 1)


def _errors_multiply_adds(
    own: Shape, others: Shape, flow: Shape, other: Shape | None, blocks: Shape, apart: int, top: int
) -> int:
    """Every pixel is a sample for each candidate."""
    return BILINEAR * prod(own) * ((1 if other is None else 2) + 4 * blocks[0])


NORMALISE = Operator(
    "normalise",
    reference=_dense(reference.normalise),
    kernels=_kernels(_normalise),
    sample_inputs=_normalise_samples,
    multiply_adds=lambda image, luma: 0,  # means are not counted in plain torch either
)
BLOCK_SCORES = Operator(
    "block_scores",
    reference=_dense(reference.block_scores),
    kernels=_kernels(_block_scores),
    sample_inputs=_score_samples,
    multiply_adds=_scores_multiply_adds,
)
BEST_BLOCK = Operator(
    "best_block",
    reference=_dense(reference.best_block),
    kernels=_kernels(_best_block),
    sample_inputs=_best_samples,
    multiply_adds=lambda *arguments: 0,
)
CANDIDATE_ERRORS = Operator(
    "candidate_errors",
    reference=_dense(reference.candidate_errors),
    kernels=_kernels(_candidate_errors),
    sample_inputs=_error_samples,
    multiply_adds=_errors_multiply_adds,
)
WEIGH_CANDIDATES = Operator(
    "weigh_candidates",
    reference=_dense(reference.weigh_candidates),
    kernels=_kernels(_weigh_candidates),
    sample_inputs=_weigh_samples,
    multiply_adds=lambda *arguments: 0,
)


def _fake_normalise(image: Tensor, luma: bool) -> Tensor:
    batch, channels, *size = image.shape
    return image.new_empty(batch, 1 if luma else channels, *size)


def _fake_scores(first: Tensor, second: Tensor, down: int, across: int) -> Tensor:
    batch, _, rows, columns = first.shape
    return first.new_empty(batch, (2 * down + 1) * (2 * across + 1), rows // STEP, columns // STEP)


def _fake_best(scores: Tensor, down: int, across: int, offset_down: float, offset_across: float) -> Tensor:
    batch, _, *size = scores.shape
    return scores.new_empty(batch, 3, *size)


def _fake_errors(
    own: Tensor, others: Tensor, flow: Tensor, other: Tensor | None, blocks: Tensor, apart: int, top: int
) -> Tensor:
    batch, _, *size = own.shape
    return own.new_empty((1 if other is None else 2) + 4 * len(blocks), batch, *size)


def _fake_weighed(
    errors: Tensor, flow: Tensor, other: Tensor | None, blocks: Tensor, around: Tensor | None, cost: float
) -> Tensor:
    return torch.empty_like(flow, memory_format=torch.contiguous_format)


normalise = register(NORMALISE, _fake_normalise)
block_scores = register(BLOCK_SCORES, _fake_scores)
best_block = register(BEST_BLOCK, _fake_best)
candidate_errors = register(CANDIDATE_ERRORS, _fake_errors)
weigh_candidates = register(WEIGH_CANDIDATES, _fake_weighed)
