"""The selective scan on the CPU: splits it into blocks of channels and runs the code of `native` for them on all cores.

The code runs without the GIL on threads of its own call: any number of threads may call at once, and none is left behind. Imported only where llvmlite
works (see `vsvfi.ops.backends`); the import registers the operator `vsvfi::scan_paths_llvmlite`.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.ops.scan import native, trial
from vsvfi.ops.scan.grouped import by_group

_LOG2E = 1.4426950408889634


def run(
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
    """See `vsvfi.ops.scan.scan_paths`."""
    function, threads = native.compiled(softplus), torch.get_num_threads()
    (batch, length, channels), (paths, _, states) = u.shape, A.shape
    missing = -channels % native.WIDTH
    stride = channels + missing

    def padded(tensor: Tensor) -> Tensor:
        tensor = tensor.detach().float()
        return (functional.pad(tensor, (0, missing)) if missing else tensor).contiguous()

    def blocked(tensor: Tensor) -> Tensor:
        """[K, ..., channels] -> [K, blocks, ..., WIDTH]: what a task needs lies together."""
        tensor = padded(tensor)
        return tensor.reshape(*tensor.shape[:-1], -1, native.WIDTH).movedim(-2, 1).contiguous()

    values, steps = padded(u), padded(delta)
    rates, skip, bias = blocked(A.detach().float().transpose(1, 2) * _LOG2E), blocked(D), blocked(delta_bias)
    entering, leaving = (tensor.detach().float().contiguous() for tensor in (B, C))
    orders = [order.to(torch.int32).contiguous() for order in (reads, writes)]
    blocks = stride // native.WIDTH
    together = paths if blocks * batch >= 2 * threads else 1  # paths that one task scans, adding to one result
    parts = [torch.zeros(batch, length, stride, dtype=torch.float32, device="cpu") for _ in range(0, paths, together)]

    def task(picture: int, block: int, part: int) -> None:
        state = torch.empty(states, native.WIDTH, dtype=torch.float32, device="cpu")
        start = block * native.WIDTH
        for path in range(part * together, (part + 1) * together):
            function(
                values[picture, 0, start:].data_ptr(),
                steps[picture, path, 0, start:].data_ptr(),
                rates[path, block].data_ptr(),
                entering[picture, path].data_ptr(),
                leaving[picture, path].data_ptr(),
                skip[path, block].data_ptr(),
                bias[path, block].data_ptr(),
                *(order[path].data_ptr() for order in orders),
                state.data_ptr(),
                parts[part][picture, 0, start:].data_ptr(),
                length,
                stride,
                states,
            )

    # States fade into numbers below the normal range, which many CPUs compute slowly: these threads take them for 0.
    with ThreadPoolExecutor(threads, thread_name_prefix="vsvfi-scan", initializer=torch.set_flush_denormal, initargs=(True,)) as pool:
        running = [pool.submit(task, picture, block, part) for part in range(len(parts)) for picture in range(batch) for block in range(blocks)]
        for ended in running:
            ended.result()
    y = parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
    return y[..., :channels].to(u.dtype, copy=missing > 0)


def fault() -> str | None:
    """Why this code is not to be used here, or None."""
    return trial.fault(functools.partial(by_group, run), "cpu")


def _shape(
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
    """What `run` returns, without its content."""
    return torch.empty_like(u, memory_format=torch.contiguous_format)


scan_paths = torch.library.custom_op("vsvfi::scan_paths_llvmlite", run, mutates_args=(), device_types="cpu")
scan_paths.register_fake(_shape)
