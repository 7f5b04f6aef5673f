"""The emulated CUDA device behaves like a device, and reports errors that a device ignores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.ops.cuda_emulation import CompileError, LaunchError, Module
from vsvfi.ops.cuda import KernelFile
from vsvfi.ops.splat.cuda import KERNELS

pytestmark = pytest.mark.usefixtures("emulation")

SOURCE = r"""
extern "C" __global__ void place(int* out) {
    const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

extern "C" __global__ void reverse(const float* in, float* out, int count) {
    __shared__ float kept[256];
    for (int start = 0; start < count; start += blockDim.x) {
        kept[threadIdx.x] = in[start + threadIdx.x];
        __syncthreads();
        out[start + threadIdx.x] = kept[blockDim.x - 1 - threadIdx.x];
        __syncthreads();
    }
}

extern "C" __global__ void reverse_without_barrier(const float* in, float* out) {
    __shared__ float kept[256];
    kept[threadIdx.x] = in[threadIdx.x];
    out[threadIdx.x] = kept[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(128) total(const float* in, float* out) {
    extern __shared__ __align__(16) float parts[];
    float sum = in[blockIdx.x * blockDim.x + threadIdx.x];
    for (int step = 16; step; step /= 2) sum += __shfl_down_sync(0xffffffff, sum, step);
    if (threadIdx.x % warpSize == 0) parts[threadIdx.x / warpSize] = sum;
    __syncthreads();
    if (threadIdx.x) return;
    for (int i = 1; i < (blockDim.x + 31) / 32; ++i) sum += parts[i];
    atomicAdd(out, sum);
}

extern "C" __global__ void warp(int* out) {
    const unsigned int full = 0xffffffff;
    const int i = threadIdx.x;
    int* row = out + i * 8;
    row[0] = __shfl_sync(full, i, 5);
    row[1] = __shfl_up_sync(full, i, 3);
    row[2] = __shfl_down_sync(full, i, 1, 8);
    row[3] = __shfl_xor_sync(full, i, 4);
    row[4] = (int)__ballot_sync(full, i % 2);
    row[5] = __any_sync(full, i == 31) + 2 * __all_sync(full, i < 32);
    row[6] = (int)__shfl_sync(full, (double)i + 0.5, i + 1, 4);
    __syncwarp();
    row[7] = atomicMax(out + 32 * 8, i);
}

extern "C" __global__ void shift(const int* in, int* out, int read, int write) {
    out[(int)threadIdx.x + write] = in[(int)threadIdx.x + read];
}

extern "C" __global__ void early_return() {
    if (threadIdx.x < 3) return;
    __syncthreads();
}

extern "C" __global__ void parted() {
    if (threadIdx.x % 2) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}

extern "C" __global__ void half_a_warp() {
    if (threadIdx.x < 16) __shfl_sync(0xffffffff, 1, 0);
    __syncthreads();
}

extern "C" __global__ void types(const ELEMENT* in, float* wide, ELEMENT* back, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    wide[i] = to_float(in[i]);
    back[i] = from_float<ELEMENT>(wide[i]);
}

extern "C" __global__ void narrow(const float* in, ELEMENT* out, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = from_float<ELEMENT>(in[i]);
}
"""


def module(element: str = "float") -> Module:
    prelude = KERNELS.source.split("#line 1")[1].split("\n", 1)[1]
    return Module(prelude + SOURCE, ("-std=c++17", f"-DELEMENT={element}"))


@pytest.mark.parametrize("backwards", [False, True])
def test_every_thread_knows_its_place(backwards: bool) -> None:
    out = torch.full((2 * 3 * 2, 4 * 3 * 2), -1, dtype=torch.int32)
    module().launch("place", (2, 3, 2), (4, 3, 2), [out], backwards=backwards)
    assert torch.equal(out, torch.arange(12, dtype=torch.int32)[:, None] * 1000 + torch.arange(24, dtype=torch.int32))


@pytest.mark.parametrize("backwards", [False, True])
def test_a_block_shares_memory(backwards: bool) -> None:
    values, out = torch.randn(512), torch.zeros(512)
    module().launch("reverse", (1, 1, 1), (256, 1, 1), [values, out, np.int32(512)], backwards=backwards)
    assert torch.equal(out, values.reshape(2, 256).flip(1).reshape(-1))


def test_a_missing_barrier_shows() -> None:
    values = torch.randn(64)
    results = []
    for backwards in (False, True):
        out = torch.zeros(64)
        module().launch("reverse_without_barrier", (1, 1, 1), (64, 1, 1), [values, out], backwards=backwards)
        results.append(out)
    assert not torch.equal(*results)


@pytest.mark.parametrize("threads", [32, 96, 128])
def test_warps_and_blocks_sum_up(threads: int) -> None:
    values, out = torch.arange(threads * 5, dtype=torch.float32), torch.zeros(1)
    module().launch("total", (5, 1, 1), (threads, 1, 1), [values, out])
    assert float(out) == float(values.sum())


@pytest.mark.parametrize("backwards", [False, True])
def test_a_warp_exchanges(backwards: bool) -> None:
    out = torch.full((33 * 8,), -1, dtype=torch.int32)
    module().launch("warp", (1, 1, 1), (32, 1, 1), [out], backwards=backwards)
    rows = out[: 32 * 8].reshape(32, 8)
    lane = torch.arange(32)
    odd = np.array(0xAAAAAAAA, np.uint32).astype(np.int32)
    assert rows[:, 0].tolist() == [5] * 32
    assert rows[:, 1].tolist() == torch.where(lane < 3, lane, lane - 3).tolist()
    assert rows[:, 2].tolist() == torch.where(lane % 8 == 7, lane, lane + 1).tolist()
    assert rows[:, 3].tolist() == (lane ^ 4).tolist()
    assert rows[:, 4].tolist() == [int(odd)] * 32
    assert rows[:, 5].tolist() == [3] * 32
    assert rows[:, 6].tolist() == (lane // 4 * 4 + (lane + 1) % 4).tolist()
    assert int(out[32 * 8]) == 31


@pytest.mark.parametrize(
    ("read", "write", "backwards", "thread"),
    [(1, 0, False, 1023), (0, 1, False, 1023), (-1, 0, True, 0), (0, -1, True, 0)],
)
def test_memory_beside_the_tensors_is_not_touched(read: int, write: int, backwards: bool, thread: int) -> None:
    values, out = torch.arange(1024, dtype=torch.int32), torch.zeros(1024, dtype=torch.int32)
    with pytest.raises(
        LaunchError,
        match=rf"shift: thread \({thread}, 0, 0\) of block \(0, 0, 0\) touches memory that it was not given",
    ):
        module().launch(
            "shift", (1, 1, 1), (1024, 1, 1), [values, out, np.int32(read), np.int32(write)], backwards=backwards
        )
    assert not out.any()
    module().launch("shift", (1, 1, 1), (1023, 1, 1), [values[1:], out, np.int32(-1), np.int32(1)], backwards=backwards)
    assert out.tolist() == [0, *range(1023)]
    module().launch("shift", (1, 1, 1), (1023, 1, 1), [out, out[1:], np.int32(1), np.int32(-1)])
    assert out[:-1].tolist() == list(range(1023))


def test_threads_that_left_are_not_waited_for() -> None:
    module().launch("early_return", (1, 1, 1), (64, 1, 1), [])


@pytest.mark.parametrize("kernel", ["parted", "half_a_warp"])
def test_threads_that_wait_for_ever_are_an_error(kernel: str) -> None:
    with pytest.raises(LaunchError, match=f"{kernel}: threads wait for ever at the barrier of line"):
        module().launch(kernel, (1, 1, 1), (64, 1, 1), [])
    module().launch("early_return", (1, 1, 1), (64, 1, 1), [])  # and does no lasting harm


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([torch.zeros(32), torch.zeros(32)], "2 arguments given, the kernel takes 3"),
        ([torch.zeros(32), torch.zeros(32), np.int64(32)], "argument 2 is i8, the kernel takes i4"),
        ([torch.zeros(32), torch.zeros(32), np.float32(32)], "argument 2 is f4, the kernel takes i4"),
        ([torch.zeros(32), np.int64(1), np.int32(32)], "argument 1 is i8, the kernel takes u8"),
    ],
)
def test_arguments_are_checked(arguments: list[torch.Tensor | np.generic], fault: str) -> None:
    with pytest.raises(LaunchError, match=fault):
        module().launch("reverse", (1, 1, 1), (32, 1, 1), arguments)


@pytest.mark.parametrize(
    ("grid", "block"),
    [((1, 1, 1), (1025, 1, 1)), ((1, 65536, 1), (1, 1, 1)), ((0, 1, 1), (1, 1, 1)), ((1, 1, 1), (1, 1, 65))],
)
def test_an_impossible_grid_is_an_error(grid: tuple[int, int, int], block: tuple[int, int, int]) -> None:
    with pytest.raises(LaunchError, match="early_return: invalid configuration argument"):
        module().launch("early_return", grid, block, [])


@pytest.mark.parametrize(("element", "dtype"), [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
def test_types_convert_like_torchs(element: str, dtype: torch.dtype) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    wide, back = torch.zeros(2**16), torch.zeros(2**16, dtype=dtype)
    module(element).launch("types", (2**16 // 256, 1, 1), (256, 1, 1), [every, wide, back, np.int32(2**16)])
    torch.testing.assert_close(wide, every.float(), rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(back, every, rtol=0, atol=0, equal_nan=True)
    edges = torch.tensor(
        [
            0.0,
            -0.0,
            65504,
            65519.99,
            65520,
            1e30,
            3.4e38,
            float("inf"),
            float("nan"),
            6e-8,
            2.98e-8,
            2.99e-8,
            6.1e-5,
            1e-40,
            1.0004883,
            1.00146484,
        ]
    )
    values = torch.cat(
        (
            edges,
            -edges,
            torch.randn(20000) * torch.exp(torch.randn(20000) * 8),
            every.float().nextafter(torch.tensor(1e9)),
        )
    )
    narrow = torch.zeros(len(values), dtype=dtype)
    module(element).launch(
        "narrow", (-(-len(values) // 256), 1, 1), (256, 1, 1), [values, narrow, np.int32(len(values))]
    )
    torch.testing.assert_close(narrow, values.to(dtype), rtol=0, atol=0, equal_nan=True)
    numbers = ~values.isnan()
    assert torch.equal(narrow.signbit()[numbers], values.signbit()[numbers])


def test_what_does_not_compile_says_why() -> None:
    with pytest.raises(CompileError, match="no_such_name"):
        Module('extern "C" __global__ void broken(int* a) { a[0] = no_such_name; }')


def test_kernels_are_found_in_their_file() -> None:
    assert isinstance(KERNELS, KernelFile)
    Module(KERNELS.source)
