"""The deformable separable convolution on the CPU: splits pictures into bands of rows and runs the code of `native` for them on all cores.

The code runs without the GIL on threads of its own call: any number of threads may call at once, and none is left behind. The bits are the same on any
number of threads. Checks no arguments. Imported only where llvmlite works (see `vsvfi.ops.backends`); the import registers the operator
`vsvfi::sepconv_llvmlite`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.ops.sepconv import native, trial
from vsvfi.ops.sepconv.reference import BORDER
from vsvfi.ops.threads import in_parts

_WORTHWHILE = 1 << 11
"""Pixels of the result for which one more thread is worth its start, which takes a third of a millisecond."""


def run(image: Tensor, vertical: Tensor, horizontal: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, top: int, left: int) -> Tensor:
    """D; see `vsvfi.ops.sepconv.reference.sepconv`, which has the same arguments. None may be empty.

    The result is dense and channels last in memory. Maps in float32 are read where they are, whatever their strides; others are copied first.
    """
    maps = [values.detach().float() for values in (vertical, horizontal, alpha, beta, mask)]
    batch, _, height, width = alpha.shape
    channels = image.shape[1]
    function = native.compiled(channels)
    continued = functional.pad(image.detach().float(), [BORDER] * 4, mode="replicate")
    pictures = functional.pad(continued.permute(0, 2, 3, 1), (0, native.LANES - channels)).contiguous()
    result = torch.empty(batch, height, width, channels, dtype=torch.float32, device="cpu")

    def task(index: int, begin: int, end: int) -> None:
        function(
            pictures[index if len(pictures) > 1 else 0].data_ptr(),
            result[index].data_ptr(),
            *(values[index].data_ptr() for values in maps),
            *pictures.shape[1:3],
            width,
            top,
            left,
            begin,
            end,
            *(stride for values in maps for stride in values.stride()[1:]),
        )

    threads = min(torch.get_num_threads(), 1 + batch * height * width // _WORTHWHILE)
    bands = min(height, threads)
    tasks = [(index, height * band // bands, height * (band + 1) // bands) for index in range(batch) for band in range(bands)]

    def work(first: int) -> None:
        for given in tasks[first::threads]:
            task(*given)

    in_parts(work, threads, "sepconv")
    return result.permute(0, 3, 1, 2)


def fault() -> str | None:
    """Why this code is not to be used here, or None."""
    return trial.fault(run)


def _shape(image: Tensor, vertical: Tensor, horizontal: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, top: int, left: int) -> Tensor:
    """What `run` returns, without its content."""
    batch, _, height, width = alpha.shape
    return torch.empty(batch, height, width, image.shape[1], dtype=torch.float32, device=image.device).permute(0, 3, 1, 2)


sepconv = torch.library.custom_op("vsvfi::sepconv_llvmlite", run, mutates_args=(), device_types="cpu")
sepconv.register_fake(_shape)
