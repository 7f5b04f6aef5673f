"""Add a bias and apply LeakyReLU or PReLU.

On CUDA one kernel computes it (`op`), where a convolution with a bias and an activation are three passes; other devices
and training use torch's own operators.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vsvfi.ops.activation import op

__all__ = ["activate", "warm_up"]


def activate(values: Tensor, bias: Tensor, slopes: Tensor) -> Tensor:
    """Add the bias, then multiply what is negative by its channel's slope.

    Args:
        values: [B, C, H, W], densely in memory.
        bias: [C], of the same type.
        slopes: [C], or [1] for all channels, of the same type.

    Returns:
        The shape, type and strides of `values`.

    Raises:
        ValueError: the sizes do not fit.
    """
    channels = values.shape[1] if values.dim() == 4 else 0
    if tuple(bias.shape) != (channels,) or tuple(slopes.shape) not in ((channels,), (1,)):
        raise ValueError(
            f"activate: values={tuple(values.shape)}, bias={tuple(bias.shape)} and slopes={tuple(slopes.shape)} "
            "must be [B, C, H, W], [C] and [C] or [1]"
        )
    result: Tensor = op.activation(values, bias, slopes)
    return result


def warm_up(device: torch.device, dtype: torch.dtype) -> None:
    """Load and compile the kernel for this type, so that no frame waits for it."""
    with torch.no_grad():
        value = torch.zeros(1, 1, 1, 1, dtype=dtype, device=device)
        activate(value, value.flatten(), value.flatten())
