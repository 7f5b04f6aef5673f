"""ffmpeg's minterpolate (block matching), a baseline without a network."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

type Image = NDArray[np.float32]

SETTINGS = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1"
"""Its best settings: overlapped blocks of variable size, bidirectional motion search."""
_BEYOND = 3
"""Copies of the last image behind the sequence: the filter delays its output by its look-ahead."""


def minterpolate(
    images: Sequence[Image],
    factor: int,
    settings: str = SETTINGS,
    ffmpeg: str | None = None,
    seconds: float | None = None,
) -> list[Image]:
    """Interpolate images [3, H, W], RGB in [0, 1], to `factor` times their rate with ffmpeg's minterpolate.

    Returns (len(images) - 1) * factor + 1 images, of which the first and the last are those given.

    Computed in YUV 4:4:4 at 8 bits, the best format of the filter.

    Args:
        images: in order.
        factor: of the rate.
        settings: of the filter.
        ffmpeg: the program; None for the one in the imageio-ffmpeg wheel.
        seconds: time limit.

    Raises:
        subprocess.TimeoutExpired: the time limit was reached.
    """
    if ffmpeg is None:
        import imageio_ffmpeg  # of the extra `video`; wanted only here

        ffmpeg = str(imageio_ffmpeg.get_ffmpeg_exe())
    height, width = images[0].shape[1:]
    raw = b"".join(
        (image.clip(0, 1).transpose(1, 2, 0) * 255).round().astype(np.uint8).tobytes()
        for image in [*images, *[images[-1]] * _BEYOND]
    )
    layout = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    command = [ffmpeg, "-v", "error", *layout, "-s", f"{width}x{height}", "-r", "10", "-i", "-"]
    command += ["-vf", f"format=yuv444p,minterpolate=fps={10 * factor}:{settings}:scd=none,format=rgb24", *layout, "-"]
    output = subprocess.run(command, input=raw, capture_output=True, check=True, timeout=seconds).stdout
    made = np.frombuffer(output, np.uint8).reshape(-1, height, width, 3)[: (len(images) - 1) * factor + 1]
    return [np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / np.float32(255) for image in made]
