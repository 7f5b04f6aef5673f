"""The CUDA kernel of splatting, run on the CPU, against the definition written out pixel by pixel.

On a GPU, where there is one, against the reference.
"""

from __future__ import annotations

import mmap
from math import floor, inf, isfinite, nan

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.ops.cuda_emulation import Module
from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from vsvfi.ops.cuda import compile_options
from vsvfi.ops.splat import cuda, splat

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SIZES = [(1, 1), (1, 7), (5, 1), (6, 9), (17, 33), (3, 130)]  # the last is wider than two blocks
ROUNDING = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


def links(displacement: Tensor, weight: Tensor | None, b: int) -> list[tuple[int, int, int, int, float]]:
    """(y, x, target y, target x, share) of image b; positions and shares rounded to float32 at every step."""
    _, _, height, width = displacement.shape
    displacement, found = displacement.float(), []
    one = np.float32(1)
    for y in range(height):
        for x in range(width):
            w = np.float32(1) if weight is None else np.float32(weight[b % weight.shape[0], 0, y, x])
            tx, ty = (np.float32(place) + np.float32(displacement[b, axis, y, x]) for axis, place in enumerate((x, y)))
            if not (isfinite(tx) and isfinite(ty) and isfinite(w)):
                continue
            left, top = floor(tx), floor(ty)
            right, below = tx - np.float32(left), ty - np.float32(top)
            for j, down in ((top, one - below), (top + 1, below)):
                for i, across in ((left, one - right), (left + 1, right)):
                    share = across * down * w
                    if 0 <= i < width and 0 <= j < height and share != 0:
                        found.append((y, x, j, i, float(share)))
    return found


def by_definition(value: Tensor, displacement: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """A / D and D, summed in float64."""
    batch, _, height, width = displacement.shape
    sums = torch.zeros(batch, value.shape[1], height, width, dtype=torch.float64)
    total = torch.zeros(batch, 1, height, width, dtype=torch.float64)
    for b in range(batch):
        for y, x, j, i, share in links(displacement, weight, b):
            sums[b, :, j, i] += share * value[b % value.shape[0], :, y, x].double()
            total[b, 0, j, i] += share
    return sums / torch.where(total == 0, 1.0, total), total


def scene(
    size: tuple[int, int], batch: int, channels: int, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Values, a displacement with everything that can go wrong in it, and weights."""
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(batch, channels, *size, generator=generator).to(dtype)
    displacement = torch.randn(batch, 2, *size, generator=generator) * 3
    kinds = torch.randint(0, 12, (batch, *size), generator=generator)[:, None].expand(-1, 2, -1, -1)
    displacement = torch.where(kinds < 4, displacement.round(), displacement)
    for kind, broken in enumerate((nan, inf, -inf, 1e30, -1e30)):
        component = torch.arange(2)[None, :, None, None] == kind % 2
        displacement = torch.where((kinds == 11 - kind) & component, broken, displacement)
    weight = torch.rand(batch, 1, *size, generator=generator) + 0.1
    return value, displacement, weight


def run(
    emulated: EmulatedLauncher, value: Tensor, displacement: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The kernels' A / D and D."""
    result, total = cuda.run(emulated, [value], displacement, weight)
    return result, total


def agree(emulated: EmulatedLauncher, value: Tensor, displacement: Tensor, weight: Tensor | None) -> Tensor:
    """The kernels' A / D, which must be the definition's."""
    result, total = run(emulated, value, displacement, weight)
    expected, summed = by_definition(value, displacement, weight)
    assert (result.dtype, total.dtype, total.shape) == (value.dtype, torch.float32, summed.shape)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(total == 0, summed == 0)
    torch.testing.assert_close(total.double(), summed, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(
        result.double(), expected, rtol=ROUNDING[value.dtype], atol=ROUNDING[value.dtype], equal_nan=True
    )
    return result


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_the_kernel_is_the_definition(
    emulated: EmulatedLauncher, size: tuple[int, int], dtype: torch.dtype, backwards: bool
) -> None:
    emulated.backwards = backwards
    value, displacement, weight = scene(size, 2, 3, dtype)
    agree(emulated, value, displacement, weight)
    agree(emulated, value.contiguous(memory_format=torch.channels_last), displacement, None)


@pytest.mark.parametrize(("batch", "channels"), [(1, 1), (3, 2), (1, 33), (2, 70)])
def test_batches_and_channels(emulated: EmulatedLauncher, batch: int, channels: int) -> None:
    value, displacement, weight = scene((6, 9), batch, channels, seed=1)
    agree(emulated, value, displacement, weight)
    agree(emulated, value.contiguous(memory_format=torch.channels_last), displacement, weight)
    agree(emulated, value[:1], displacement, weight[:1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_type_of_displacement(emulated: EmulatedLauncher, dtype: torch.dtype) -> None:
    value, displacement, weight = scene((6, 9), 2, 3, seed=2)
    agree(emulated, value, displacement.to(dtype), weight)


def test_a_weight_counts_in_float_whatever_its_type(emulated: EmulatedLauncher) -> None:
    value, displacement, weight = scene((6, 9), 2, 3, seed=6)
    weight = weight.half()
    for ours, expected in zip(
        run(emulated, value, displacement, weight), run(emulated, value, displacement, weight.float()), strict=True
    ):
        assert torch.equal(ours, expected)


def test_double_values_are_summed_in_float(emulated: EmulatedLauncher) -> None:
    value, displacement, weight = scene((6, 9), 1, 3, seed=3)
    result, _ = run(emulated, value.double(), displacement, weight)
    assert result.dtype == torch.float64
    assert torch.equal(result.float(), run(emulated, value, displacement, weight)[0])


def test_any_strides_are_read(emulated: EmulatedLauncher) -> None:
    value, displacement, weight = scene((6, 9), 2, 8, seed=4)
    expected, summed = run(emulated, value[:, 2:5].contiguous(), displacement, weight)
    last = value.contiguous(memory_format=torch.channels_last)
    turned = displacement.transpose(2, 3).contiguous().transpose(2, 3)
    for part in (value[:, 2:5], last[:, 2:5], value.transpose(2, 3).contiguous().transpose(2, 3)[:, 2:5]):
        result, total = run(emulated, part, turned, weight.transpose(2, 3).contiguous().transpose(2, 3))
        assert torch.equal(result, expected)
        assert torch.equal(total, summed)
    shared = value[:1].expand(2, -1, -1, -1)
    assert torch.equal(
        run(emulated, shared, displacement, weight)[0], run(emulated, value[:1], displacement, weight)[0]
    )


def test_values_that_share_a_displacement_share_its_weights(emulated: EmulatedLauncher) -> None:
    value, displacement, weight = scene((6, 9), 2, 8)
    together = cuda.run(emulated, [value[:, :3], value[:1, 3:]], displacement, weight)
    assert [launch.name for launch in emulated.launches].count("splat_total") == 1
    for part, found in zip((value[:, :3], value[:1, 3:]), together, strict=False):
        assert torch.equal(found, run(emulated, part, displacement, weight)[0])


def test_shares_are_those_of_torch_to_the_last_bit(emulated: EmulatedLauncher) -> None:
    generator = torch.Generator().manual_seed(5)
    count, height, width = 200, 3, 4
    displacement = torch.full((count, 2, height, width), nan)
    move = torch.rand(count, 2, generator=generator) * 2 - 1
    displacement[:, :, 1, 1] = move
    weight, value = (
        torch.rand(count, 1, height, width, generator=generator),
        torch.randn(count, 1, height, width, generator=generator),
    )
    result, total = run(emulated, value, displacement, weight)
    tx, ty = 1 + move[:, 0], 1 + move[:, 1]
    left, top = tx.floor(), ty.floor()
    right, below = tx - left, ty - top
    expected, images = torch.zeros_like(total), torch.arange(count)
    for j, down in ((0, 1 - below), (1, below)):
        for i, across in ((0, 1 - right), (1, right)):
            expected[images, 0, top.long() + j, left.long() + i] = across * down * weight[:, 0, 1, 1]
    assert torch.equal(total, expected)
    assert torch.equal(result, expected * value[:, :, 1:2, 1:2] / torch.where(expected == 0, 1, expected))


def test_holes_are_zero_and_faint_sums_are_full_values(emulated: EmulatedLauncher) -> None:
    value = torch.full((1, 2, 1, 4), 5.0)
    displacement = torch.full((1, 2, 1, 4), nan)
    displacement[0, :, 0, 0] = torch.tensor((1e-7, 0.0))  # all but nothing reaches the pixel to the right
    result, total = run(emulated, value, displacement, None)
    assert total[0, 0, 0].tolist() == pytest.approx([1.0, 1e-7, 0.0, 0.0])
    assert result[0, 0, 0].tolist() == [5.0, 5.0, 0.0, 0.0]


def test_a_sum_of_zero_counts_as_one(emulated: EmulatedLauncher) -> None:
    value = torch.tensor([3.0, 1.0]).reshape(1, 1, 1, 2)
    displacement = torch.tensor([[0.0, -1.0], [0.0, 0.0]]).reshape(1, 2, 1, 2)
    weight = torch.tensor([2.0, -2.0]).reshape(1, 1, 1, 2)
    result, total = run(emulated, value, displacement, weight)
    assert total.tolist() == [[[[0.0, 0.0]]]]
    assert result.tolist() == [[[[4.0, 0.0]]]]


@pytest.mark.parametrize("last", [False, True])
def test_nan_spoils_only_what_it_reaches(emulated: EmulatedLauncher, last: bool) -> None:
    value = torch.ones(1, 2, 5, 6)
    value[0, 0, 2, 2] = nan
    value = value.contiguous(memory_format=torch.channels_last) if last else value
    displacement = torch.zeros(1, 2, 5, 6)
    assert torch.isnan(agree(emulated, value, displacement, None)).nonzero().tolist() == [[0, 0, 2, 2]]
    displacement[0, 0] = 0.5
    assert torch.isnan(agree(emulated, value, displacement, None)).nonzero().tolist() == [[0, 0, 2, 2], [0, 0, 2, 3]]
    weight = torch.ones(1, 1, 5, 6)
    for nothing in (0.0, nan, inf):
        weight[0, 0, 2, 2] = nothing
        assert not torch.isnan(agree(emulated, value, displacement, weight)).any()


def test_nothing_to_do_is_nothing_done(emulated: EmulatedLauncher) -> None:
    for batch, channels, height, width in ((0, 3, 4, 4), (1, 0, 4, 4), (1, 3, 0, 4), (1, 3, 4, 0)):
        result, total = run(
            emulated, torch.zeros(batch, channels, height, width), torch.zeros(batch, 2, height, width), None
        )
        assert (result.shape, total.shape) == ((batch, channels, height, width), (batch, 1, height, width))


def test_offsets_beyond_32_bits(emulation: None) -> None:
    """One block of an image too large to be filled, in memory that is there only where it is touched."""
    width, height, channels, stride = 4, 2**23 + 8, 64, 2**31 + 5  # a few more than 2**31 sums
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    try:
        sparse = [mmap.mmap(-1, size * 4, flags=flags) for size in (width * height * channels, stride + 4)]
    except OSError:
        pytest.skip("no room for sparse memory of 8 GiB each")
    sums, value = (np.frombuffer(memory, np.float32) for memory in sparse)
    zero, one = np.int64(0), np.int64(1)
    value[:4], value[stride:] = (1, 2, 3, 4), (5, 6, 7, 8)
    down = torch.zeros(2, width)
    down[1] = height - 1
    shape = [np.int32(number) for number in (height, width, channels, 2, 1)]
    module = Module(cuda.KERNELS.source, compile_options({"ELEMENT": torch.float32}))
    pointer = {name: np.uint64(array.ctypes.data) for name, array in (("sums", sums), ("value", value))}
    from_value = [pointer["value"], zero, np.int64(stride), zero, one]
    module.launch(
        "splat_sums",
        (1, 1, 1),
        (256, 1, 1),
        [*from_value, down, zero, np.int64(width), zero, one, None, zero, zero, zero, pointer["sums"], *shape],
    )
    last = sums[-width * channels :].reshape(width, channels)
    assert last[:, :2].tolist() == [[1, 5], [2, 6], [3, 7], [4, 8]]
    assert not last[:, 2:].any()
    sums[: width * channels].reshape(width, channels)[:, :2] = last[:, :2]
    module.launch(
        "splat_divide", (1, 1, 1), (256, 1, 1), [pointer["sums"], torch.full((width,), 2.0), *from_value, *shape]
    )
    assert (value[:4].tolist(), value[stride:].tolist()) == ([0.5, 1, 1.5, 2], [2.5, 3, 3.5, 4])


def test_the_kernel_is_the_reference(emulated: EmulatedLauncher) -> None:
    value, displacement, weight = scene((17, 33), 2, 5)
    for kind, importance in (("average", None), ("linear", weight)):
        result, _ = run(emulated, value, displacement, importance)
        torch.testing.assert_close(
            result, splat(value, displacement, kind=kind, importance=importance), rtol=1e-5, atol=1e-5
        )


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def tolerance(dtype: torch.dtype) -> dict[str, float]:
    return {"rtol": max(1e-5, ROUNDING[dtype]), "atol": max(1e-5, ROUNDING[dtype])}


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*SIZES, (270, 480)])
def test_a_gpu_agrees_with_the_reference(size: tuple[int, int], dtype: torch.dtype) -> None:
    value, displacement, weight = scene(size, 2, 20, dtype)
    for memory in (torch.contiguous_format, torch.channels_last):
        for importance in (None, weight):
            on_gpu = [
                None if tensor is None else tensor.cuda()
                for tensor in (value.contiguous(memory_format=memory), displacement, importance)
            ]
            kind = "average" if importance is None else "linear"
            result = splat(on_gpu[0], on_gpu[1], kind=kind, importance=on_gpu[2])  # type: ignore[call-overload]
            torch.testing.assert_close(
                result.cpu(), splat(value, displacement, kind=kind, importance=importance), **tolerance(dtype)
            )


@pytest.mark.gpu
@gpu
def test_a_gpu_keeps_to_torchs_stream_and_can_be_captured() -> None:
    value, displacement, _ = scene((270, 480), 1, 16)
    expected = splat(value, displacement)
    value, displacement = value.cuda(), displacement.cuda()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    late = torch.zeros_like(value)
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # what the kernels read is written only after this
        late.copy_(value)
        result = splat(late, displacement)
    stream.synchronize()
    torch.testing.assert_close(result.cpu(), expected, rtol=1e-5, atol=1e-5)
    graph = torch.cuda.CUDAGraph()
    late.zero_()
    with torch.cuda.graph(graph):
        captured = splat(late, displacement)
    late.copy_(value)
    for _ in range(2):
        graph.replay()
    torch.cuda.synchronize()
    torch.testing.assert_close(captured.cpu(), expected, rtol=1e-5, atol=1e-5)
