"""Recognise out-of-memory errors of any library."""

from __future__ import annotations

import errno

import torch

_WINDOWS = frozenset({8, 14, 1453, 1455})
"""ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY, ERROR_WORKING_SET_QUOTA and ERROR_COMMITMENT_LIMIT."""

_TEXTS = (
    "out of memory",  # CUDA, HIP, XPU and MPS in torch; the CUDA driver; CuPy ("Out of memory allocating")
    "out_of_memory",  # CUDA_ERROR_OUT_OF_MEMORY; dnnl_out_of_memory
    "outofmemory",  # hipErrorOutOfMemory; Metal's kIOGPUCommandBufferCallbackErrorOutOfMemory
    "out_of_device_memory",  # SYCL's and Level Zero's UR_RESULT_ERROR_..., ZE_RESULT_ERROR_...
    "out_of_host_memory",
    "errormemoryallocation",  # cudaErrorMemoryAllocation, hipErrorMemoryAllocation
    "alloc_failed",  # CUBLAS_STATUS_, CUDNN_STATUS_, CUSOLVER_STATUS_, HIPBLAS_STATUS_ALLOC_FAILED
    "allocation_failed",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED and ..._HOST_ALLOCATION_FAILED
    "statusallocfailed",  # miopenStatusAllocFailed
    "rocblas_status_memory_error",
    "can't allocate memory",  # torch's allocator of the CPU on Linux and macOS
    "cannot allocate memory",  # ENOMEM
    "not enough memory",  # torch's allocator of the CPU on Windows, and Windows itself
    "paging file is too small",
    "insufficient memory",  # Metal
    "invalid buffer size",  # MPS: more than one buffer of Metal can hold
    "unable to allocate",  # numpy
    "unable to find an engine",  # cuDNN, where the workspace of no plan could be allocated
    "unable to find a valid cudnn",
    "bad_alloc",  # C++
    "bad allocation",  # C++ of Microsoft
)
"""Parts of messages in lower case."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that device or host memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and (error.errno == errno.ENOMEM or getattr(error, "winerror", None) in _WINDOWS):
        return True
    if not isinstance(error, RuntimeError | OSError):
        return False
    text = str(error).lower()
    return any(sign in text for sign in _TEXTS)
