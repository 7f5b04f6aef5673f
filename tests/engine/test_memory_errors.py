"""Each library's way of saying that memory ran out is known, and nothing else is taken for it."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import torch

from vsvfi.engine.memory_errors import is_out_of_memory

KNOWN = [
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("HIP out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("HIP error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`"),
    RuntimeError("miopenStatusAllocFailed"),
    RuntimeError("CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY"),
    RuntimeError(
        "MPS backend out of memory (MPS allocated: 18.02 GiB, other allocations: 5.12 GiB, max allowed: 18.13 GiB)"
    ),
    RuntimeError("Invalid buffer size: 24.00 GiB"),
    RuntimeError("Internal Error (0000000e:Insufficient Memory (kIOGPUCommandBufferCallbackErrorOutOfMemory))"),
    RuntimeError("XPU out of memory. Tried to allocate 8.00 GiB"),
    RuntimeError("Native API failed. Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    RuntimeError("level_zero backend failed with error: 38 (UR_RESULT_ERROR_OUT_OF_HOST_MEMORY)"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 9 bytes."
    ),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 "
        "bytes."
    ),
    RuntimeError("std::bad_alloc"),
    RuntimeError("bad allocation"),
    MemoryError(),
    MemoryError("Unable to allocate 7.28 TiB for an array with shape (1000000000000,) and data type float64"),
    torch.OutOfMemoryError("anything"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    OSError("[WinError 1455] The paging file is too small for this operation to complete"),
    OSError("[WinError 8] Not enough memory resources are available to process this command"),
]


@pytest.mark.parametrize("error", KNOWN, ids=lambda error: f"{type(error).__name__}: {str(error)[:40]}")
def test_known(error: BaseException) -> None:
    assert is_out_of_memory(error)


def test_what_windows_sets_beside_the_text_is_known() -> None:
    error = OSError(22, "in the language of the system")
    error.winerror = 1455  # type: ignore[attr-defined]
    assert is_out_of_memory(error)


def test_the_real_errors_of_this_machine_are_known() -> None:
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(1 << 55, dtype=torch.uint8)
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(1 << 55, dtype=np.uint8)
    with pytest.raises(MemoryError) as of_python:
        bytearray(1 << 60)
    assert all(is_out_of_memory(found.value) for found in (of_torch, of_numpy, of_python))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("can't start new thread"),
        ValueError("out of memory of what was asked"),
        OSError(errno.ENOENT, "No such file or directory"),
        KeyboardInterrupt(),
    ],
    ids=str,
)
def test_others_are_not_taken_for_it(error: BaseException) -> None:
    assert not is_out_of_memory(error)
