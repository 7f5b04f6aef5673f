"""Copy planes between VapourSynth frames and torch tensors; row padding appears as numpy strides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray
from torch import Tensor

TENSOR_TYPES = {vs.RGBS: torch.float32, vs.RGBH: torch.float16}
"""Supported RGB formats and the matching tensor types."""

type Planes = Sequence[NDArray[Any]]


def planes_of(frame: vs.VideoFrame) -> Planes:
    """The planes as arrays [H, W] over the frame's own memory (read-only unless the frame is new)."""
    return [np.asarray(frame[plane]) for plane in range(frame.format.num_planes)]


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


def pack_planes(planes: Planes, out: Tensor) -> None:
    """Copy planes into `out`, a host tensor of uint8, one after the other."""
    for plane, packed in zip(planes, _unpacked(out, planes), strict=True):
        np.copyto(packed, plane)


def unpack_planes(packed: Tensor, planes: Planes) -> None:
    """The inverse of `pack_planes`."""
    for plane, source in zip(planes, _unpacked(packed, planes), strict=True):
        np.copyto(plane, source)


def _unpacked(packed: Tensor, planes: Planes) -> Planes:
    """View packed samples as planes of the same types and shapes."""
    samples, found, start = packed.numpy(), [], 0
    for plane in planes:
        found.append(samples[start : start + plane.nbytes].view(plane.dtype).reshape(plane.shape))
        start += plane.nbytes
    return found
