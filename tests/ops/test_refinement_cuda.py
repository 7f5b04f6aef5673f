"""The CUDA kernels of the refinement operators, run on the CPU, against their definitions.

Also on a GPU, where there is one.
"""

from __future__ import annotations

from math import inf, nan

import pytest
import torch
from torch import Tensor

from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from tests.ops.test_refinement import normal
from vsvfi.ops import refinement
from vsvfi.ops.refinement import cuda, reference

STEPS = [(1, 1), (1, 4), (2, 1), (2, 2), (4, 2), (8, 1), (16, 1)]
SIZE = (16, 48)
BROKEN = (inf, -inf, 1e30, -1e30, nan)


def moving(height: int, width: int, *broken: float) -> Tensor:
    """A flow of several pixels, with these numbers at some of them."""
    flow = 5 * normal(2, 4, height, width)
    for index, number in enumerate(broken):
        flow[index % 2, index % 4, index, ::5] = number
    return flow


def block_inputs(channels: int, kept: int, step: int, ratio: int) -> tuple[Tensor, ...]:
    """One image serves the batch. Of the flow only its place may be broken, since it is averaged too."""
    height, width = (length // step // ratio for length in SIZE)
    images = normal(1, channels, *SIZE), normal(2, channels, *SIZE, seed=1)
    return *images, moving(*SIZE, 1e4, -1e4), normal(2, kept, height, width), torch.tensor([0.2, 0.7])


def agrees(found: Tensor, expected: Tensor, bound: float = 2e-5) -> None:
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, rtol=bound, atol=bound)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("step", "ratio"), STEPS)
@pytest.mark.parametrize(("channels", "kept"), [(3, 1), (7, 9)])
def test_the_input_of_a_block(
    emulated: EmulatedLauncher, channels: int, kept: int, step: int, ratio: int, last: bool, backwards: bool
) -> None:
    emulated.backwards = backwards
    given = block_inputs(channels, kept, step, ratio)
    expected = reference.warp_pair(*given, step, ratio)  # type: ignore[call-arg, arg-type]
    if last:
        given = (*(tensor.contiguous(memory_format=torch.channels_last) for tensor in given[:4]), given[4])
    agrees(cuda.warp_pair(emulated, *given, step, ratio), expected, 1e-4)  # type: ignore[call-arg, arg-type]
    assert [launch.name for launch in emulated.launches] == ["warp_pair"]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("channels", [3, 7])
@pytest.mark.parametrize("size", [(1, 1), (5, 40), (17, 6)])
def test_the_blend(emulated: EmulatedLauncher, size: tuple[int, int], channels: int, backwards: bool) -> None:
    emulated.backwards = backwards
    flow = moving(*size, *BROKEN[: size[0]])
    mask = normal(2, 1, *size).sigmoid()
    first = normal(2, channels, *size).contiguous(memory_format=torch.channels_last)
    second = normal(1, channels, *size, seed=1)
    found = cuda.blend_pair(emulated, first, second, flow, mask)
    agrees(found, reference.blend_pair(first, second, flow, mask))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("step", [1, 2, 8])
def test_the_sum_of_flows(emulated: EmulatedLauncher, step: int, backwards: bool) -> None:
    """A view of some channels of a larger tensor, as in a block."""
    emulated.backwards = backwards
    change = normal(2, 13, 3, 5).contiguous(memory_format=torch.channels_last)[:, :4]
    flow = normal(2, 4, 3 * step, 5 * step)
    agrees(cuda.add_flow(emulated, None, change, step), reference.add_flow(None, change, step))
    agrees(cuda.add_flow(emulated, flow, change, step), reference.add_flow(flow, change, step))


def test_half_precision_is_computed_in_float32(emulated: EmulatedLauncher) -> None:
    first, second, flow, state, times = block_inputs(3, 1, 2, 1)
    halves = [tensor.half() for tensor in (first, second, state, times)]
    found = cuda.warp_pair(emulated, *halves[:2], flow, *halves[2:], 2, 1)
    whole = [tensor.float() for tensor in halves]
    assert torch.equal(found, cuda.warp_pair(emulated, *whole[:2], flow, *whole[2:], 2, 1))
    times = torch.tensor([0.3])  # one time serves a batch
    assert bool((cuda.warp_pair(emulated, first, second, flow, state, times, 2, 1)[:, 6] == times).all())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("step", "ratio"), STEPS)
def test_a_gpu_agrees_with_the_reference(step: int, ratio: int) -> None:
    first, second, flow, state, times = block_inputs(7, 9, step, ratio)
    moved = [tensor.cuda() for tensor in (first, second, flow, state, times)]
    found = refinement.warp_pair(*moved, step, ratio)  # type: ignore[call-arg, arg-type]
    agrees(found.cpu(), reference.warp_pair(first, second, flow, state, times, step, ratio), 1e-4)
    mask = normal(2, 1, *SIZE).sigmoid()
    blended = refinement.blend_pair(*moved[:3], mask.cuda())
    agrees(blended.cpu(), reference.blend_pair(first, second, flow, mask))
    change = normal(2, 4, 3, 5)
    agrees(refinement.add_flow(None, change.cuda(), 2).cpu(), reference.add_flow(None, change, 2))
