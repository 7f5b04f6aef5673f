"""Read and write optical flow files (.flo).

A magic number, the size, then rows of interleaved x and y in float32, little endian.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.errors import ArgumentError
from vsvfi.media.flow_images import flo

_MAGIC = 202021.25
_HEADER = struct.Struct("<fii")


def flow_size(path: Path) -> tuple[int, int]:
    """(width, height) of a flow file.

    Raises:
        ArgumentError: it is not a flow file, or its length differs from the header.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
        length = os.fstat(file.fileno()).st_size
    magic, width, height = _HEADER.unpack(head) if len(head) == _HEADER.size else (0.0, 0, 0)
    if magic != _MAGIC or width < 1 or height < 1:
        raise ArgumentError("data", str(path), "is not a .flo file", "make it again")
    if length != _HEADER.size + 8 * width * height:
        raise ArgumentError("data", str(path), f"has {length} bytes for {width}x{height}", "make it again")
    return width, height


def read_flow(path: Path) -> Tensor:
    """Read a flow [1, 2, H, W] float32 in pixels, x then y.

    Raises:
        ArgumentError: see `flow_size`.
    """
    width, height = flow_size(path)
    values = np.fromfile(path, "<f4", offset=_HEADER.size).reshape(height, width, 2)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32))[None]


def write_flow(path: Path, flow: Tensor) -> None:
    """Write [1, 2, H, W]; the file appears under its name when it is complete."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    draft.write_bytes(flo(flow[0].float().cpu().numpy()))
    draft.replace(path)
