"""Merge two images by the outputs of a synthesis network, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def merge_images(output: Tensor, first: Tensor, second: Tensor, times: Tensor) -> Tensor:
    """See `vsvfi.ops.merge.merge_images`."""
    output = output.float()
    masks = torch.sigmoid(output[:, 3:])
    shares = masks[:, :1] * (1 - times), masks[:, 1:] * times
    merged = (first * shares[0] + second * shares[1]) / (shares[0] + shares[1])
    return merged + (2 * torch.sigmoid(output[:, :3]) - 1)
