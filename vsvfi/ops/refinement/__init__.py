"""Steps between the blocks of a coarse-to-fine flow network: update the flow, build the next input, blend.

Each is a single pass over memory on the CPU, where plain torch takes ten to twenty. Definitions are in `reference`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vsvfi.ops.refinement import op, reference
from vsvfi.ops.refinement.reference import warped_and_reduced

__all__ = ["add_flow", "blend_pair", "warm_up", "warp_pair", "warped_and_reduced"]


def warp_pair(
    first: Tensor, second: Tensor, flow: Tensor, state: Tensor, times: Tensor, step: int, ratio: int
) -> Tensor:
    """Build the input of a block at 1 / step: both images warped and downscaled, timestep, state and flow.

    Args:
        first, second: [B or 1, C, H, W] float32.
        flow: [B, 4, H, W] float32 in pixels: to the first image x, y, to the second x, y. NaN counts as no motion.
        state: [B, K, h, w] float32, with h * ratio = H / step; enlarged by `ratio`.
        times: [B].
        step: 1 or an even number that divides H and W.
        ratio: 1 or more.

    Returns:
        [B, 2 C + 1 + K + 4, H / step, W / step] float32, channels last in memory: first, second, time, state, flow /
        step.

    Raises:
        ValueError: the sizes do not fit.
    """
    height, width = flow.shape[-2:]
    sizes = {image.shape[-2:] for image in (first, second)}
    if sizes != {flow.shape[-2:]} or (state.shape[-2] * ratio * step, state.shape[-1] * ratio * step) != (
        height,
        width,
    ):
        shown = ", ".join(
            f"{name}={tuple(values.shape)}" for name, values in (("first", first), ("second", second), ("state", state))
        )
        raise ValueError(
            f"warp_pair: {shown}, must fit flow={tuple(flow.shape)} at step={step}, ratio={ratio}; pad the images first"
        )
    if _differentiates(first, second, flow, state):
        return reference.warp_pair(first, second, flow, state, times, step, ratio)
    result: Tensor = op.warp_pair(first, second, flow, state, times, step, ratio)
    return result


def blend_pair(first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    """Warp the first three channels of both images and blend them: mask * first + (1 - mask) * second.

    Args:
        first, second: [B or 1, 3 or more, H, W] float32.
        flow: as for `warp_pair`.
        mask: [B, 1, H, W] float32 in [0, 1].

    Returns:
        [B, 3, H, W] float32, channels last in memory.
    """
    if _differentiates(first, second, flow, mask):
        return reference.blend_pair(first, second, flow, mask)
    result: Tensor = op.blend_pair(first, second, flow, mask)
    return result


def add_flow(flow: Tensor | None, change: Tensor, step: int) -> Tensor:
    """Return flow + step * (change upscaled by step), both [., 4, ., .] float32.

    The flow is [B, 4, H, W], or None for zero.
    """
    if _differentiates(change, *([] if flow is None else [flow])):
        return reference.add_flow(flow, change, step)
    result: Tensor = op.add_flow(flow, change, step)
    return result


def warm_up(channels: int, state: int, steps: list[tuple[int, int]], device: torch.device) -> None:
    """Compile the kernels for these channels of images and state at each (step, ratio), so that no frame waits."""
    with torch.no_grad():
        for step, ratio in steps:
            size = step * ratio
            flow, image = (
                torch.zeros(1, count, size, size, dtype=torch.float32, device=device) for count in (4, channels)
            )
            warp_pair(image, image, flow, flow[:, :1, :1, :1].expand(-1, state, -1, -1), flow[:, 0, 0, 0], step, ratio)
            blend_pair(image, image, add_flow(flow, add_flow(None, flow, 1), 1), flow[:, :1])


def _differentiates(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
