"""The torch operators `vsvfi::warp_pair`, `vsvfi::blend_pair` and `vsvfi::add_flow`: their kernels and shapes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from math import prod
from typing import Concatenate

import torch
from torch import Tensor

from vsvfi.ops import cuda as launchers
from vsvfi.ops.dispatch import BILINEAR, Kernel, Operator, Shape, register
from vsvfi.ops.refinement import cuda, reference

LAUNCHERS = ("nvrtc", "cupy")


def _warp_pair(
    first: Tensor, second: Tensor, flow: Tensor, state: Tensor, times: Tensor, step: int, ratio: int
) -> Tensor:
    from vsvfi.ops.refinement import cpu  # compiles with llvmlite, which may be missing

    return cpu.warp_pair(first, second, flow, state, times, step, ratio)


def _blend_pair(first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    from vsvfi.ops.refinement import cpu

    return cpu.blend_pair(first, second, flow, mask)


def _add_flow(flow: Tensor | None, change: Tensor, step: int) -> Tensor:
    from vsvfi.ops.refinement import cpu

    return cpu.add_flow(flow, change, step)


def _warp_pair_cuda(
    backend: str,
    first: Tensor,
    second: Tensor,
    flow: Tensor,
    state: Tensor,
    times: Tensor,
    step: int,
    ratio: int,
) -> Tensor:
    return cuda.warp_pair(launchers.launcher(backend), first, second, flow, state, times, step, ratio)


def _blend_pair_cuda(backend: str, first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    return cuda.blend_pair(launchers.launcher(backend), first, second, flow, mask)


def _add_flow_cuda(backend: str, flow: Tensor | None, change: Tensor, step: int) -> Tensor:
    return cuda.add_flow(launchers.launcher(backend), flow, change, step)


def _normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float32, device="cpu")


def _flow(height: int, width: int, *broken: float) -> Tensor:
    """Of two images, out of the image here and there; with these numbers at some of the pixels."""
    flow = 5 * _normal(2, 4, height, width)
    for index, number in enumerate(broken):
        flow[index % 2, index, index + 1, :2] = number
    return flow


def _warp_samples() -> Iterator[tuple[Tensor | int, ...]]:
    """Every kind of step and ratio; one image is shared by the batch."""
    times = torch.tensor((0.25, 0.75), dtype=torch.float32, device="cpu")
    for step, ratio in ((1, 1), (1, 2), (2, 2), (4, 1)):
        state = _normal(2, 3, 16 // step // ratio, 24 // step // ratio)
        yield _normal(2, 7, 16, 24), _normal(1, 7, 16, 24), _flow(16, 24, 1e4, -1e4), state, times, step, ratio


def _blend_samples() -> Iterator[tuple[Tensor, ...]]:
    for channels in (3, 7):
        yield (
            _normal(2, channels, 9, 13),
            _normal(1, channels, 9, 13),
            _flow(9, 13, torch.nan, torch.inf, -torch.inf),
            _normal(2, 1, 9, 13).sigmoid(),
        )


def _add_samples() -> Iterator[tuple[Tensor | int | None, ...]]:
    for step in (1, 2, 8):
        change = _normal(2, 4, 3, 5)
        yield None, change, step
        yield _normal(2, 4, 3 * step, 5 * step), change, step


def _kernels[**P](cpu: Callable[P, Tensor], gpu: Callable[Concatenate[str, P], Tensor]) -> list[Kernel[P, Tensor]]:
    """The compiled loops for the CPU, and each way to compile and launch the CUDA kernel."""
    kernels = [Kernel("llvmlite", cpu)]
    for name in LAUNCHERS:
        run: Callable[P, Tensor] = functools.partial(gpu, name)
        kernels.append(Kernel(name, run))
    return kernels


def _warp_multiply_adds(first: Shape, second: Shape, flow: Shape, state: Shape, times: Shape, *steps: int) -> int:
    """Both images are sampled at each pixel of the reduced size, where reduction reads two by two of them."""
    step, _ = steps
    return BILINEAR * flow[0] * (prod(flow[2:]) // step**2) * min(step, 2) ** 2 * (first[1] + second[1])


def _blend_multiply_adds(first: Shape, second: Shape, flow: Shape, mask: Shape) -> int:
    """Both images are sampled and mixed."""
    return flow[0] * prod(flow[2:]) * 3 * (2 * BILINEAR + 1)


WARP_PAIR = Operator(
    "warp_pair",
    reference=reference.warp_pair,
    kernels=_kernels(_warp_pair, _warp_pair_cuda),
    sample_inputs=_warp_samples,
    multiply_adds=_warp_multiply_adds,
)
BLEND_PAIR = Operator(
    "blend_pair",
    reference=reference.blend_pair,
    kernels=_kernels(_blend_pair, _blend_pair_cuda),
    sample_inputs=_blend_samples,
    multiply_adds=_blend_multiply_adds,
)
ADD_FLOW = Operator(
    "add_flow",
    reference=reference.add_flow,
    kernels=_kernels(_add_flow, _add_flow_cuda),
    sample_inputs=_add_samples,
    multiply_adds=lambda flow, change, step: 0,  # resizing and sums are not counted in plain torch either
)


def _made(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    made = like.new_empty((like.shape[0], height, width, channels), dtype=torch.float32)
    return made.permute(0, 3, 1, 2)


def _fake_warp(
    first: Tensor, second: Tensor, flow: Tensor, state: Tensor, times: Tensor, step: int, ratio: int
) -> Tensor:
    channels = first.shape[1] + second.shape[1] + 1 + state.shape[1] + 4
    return _made(flow, channels, flow.shape[2] // step, flow.shape[3] // step)


def _fake_blend(first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    return _made(flow, 3, flow.shape[2], flow.shape[3])


def _fake_add(flow: Tensor | None, change: Tensor, step: int) -> Tensor:
    return _made(change, 4, change.shape[2] * step, change.shape[3] * step)


warp_pair = register(WARP_PAIR, _fake_warp)
blend_pair = register(BLEND_PAIR, _fake_blend)
add_flow = register(ADD_FLOW, _fake_add)
