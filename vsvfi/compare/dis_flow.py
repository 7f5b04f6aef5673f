"""OpenCV's DIS optical flow with backward warping, a baseline without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsvfi.ops.warp import backward_warp
from vsvfi.packages import is_installed

MISSING = "" if is_installed("cv2") else "opencv-python-headless is not installed (extra `evaluate`)"
"""Why this method is unavailable; empty if it is available."""


def dis(first: Tensor, second: Tensor, t: float) -> Tensor:
    """Interpolate the image at t between two images [1, 3, H, W] in [0, 1].

    Both are warped to t by their scaled flows and blended.
    """
    import cv2

    grey = [
        cv2.cvtColor((image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8), cv2.COLOR_RGB2GRAY)
        for image in (first, second)
    ]
    finder: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forth, back = (torch.from_numpy(finder.calc(*pair, None).transpose(2, 0, 1))[None] for pair in (grey, grey[::-1]))
    warped = backward_warp(first, t * back), backward_warp(second, (1 - t) * forth)
    return (1 - t) * warped[0] + t * warped[1]


def between(images: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Interpolate the midpoint of each two neighbouring images, RGB [3, H, W] in [0, 1]."""
    tensors = [torch.from_numpy(np.clip(image, 0, 1))[None] for image in images]
    return [dis(before, after, 0.5)[0].numpy() for before, after in zip(tensors, tensors[1:])]  # noqa: RUF007
