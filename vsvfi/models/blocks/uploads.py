"""Copy small tensors from the host to a device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def uploaded(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to the device; on CUDA through pinned memory, so that the host does not wait."""
    if device.type == "cuda" and torch.cuda.is_available():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")
