"""Copy planes between VapourSynth frames and torch tensors.

Frames are planar RGB in float or half precision; row padding appears as numpy strides.
"""

from __future__ import annotations

import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray
from torch import Tensor

TENSOR_TYPES = {vs.RGBS: torch.float32, vs.RGBH: torch.float16}
"""Supported RGB formats and the matching tensor types."""

type Planes = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]


def planes_of(frame: vs.VideoFrame) -> Planes:
    """The three planes as arrays [H, W] over the frame's own memory (read-only unless the frame is new)."""
    red, green, blue = (np.asarray(frame[plane]) for plane in range(3))
    return red, green, blue


def read_planes(planes: Planes, out: Tensor) -> None:
    """Copy planes into `out` [1, 3, H, W], a contiguous host tensor of the same type."""
    target = out.numpy()[0]
    for index, plane in enumerate(planes):
        np.copyto(target[index], plane)


def write_planes(image: Tensor, planes: Planes) -> None:
    """Copy `image` [3, H, W], a host tensor of the same type, into planes."""
    source = image.numpy()
    for index, plane in enumerate(planes):
        np.copyto(plane, source[index])
