"""Estimate how long a render takes before anything is started, coarsely: to decide whether it is worth a job."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

_PIXELS_PER_CORE, _PIXELS_ON_GPU = 0.5e6, 100e6
"""Pixels of the output per second, of light models at factor 2. Heavy models take several times as long."""

_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Of NVIDIA's driver, of Windows below WSL, of AMD's driver."""


def estimate_seconds(frames: int, width: int, height: int, device: str) -> float:
    """Return about how many seconds a render takes.

    Args:
        frames, width, height: of the output.
        device: as for `interpolate()`.
    """
    speed = _PIXELS_PER_CORE * (os.cpu_count() or 1) if uses_cpu(device) else _PIXELS_ON_GPU
    return frames * width * height / speed


def uses_cpu(device: str, platform: str = sys.platform) -> bool:
    """Return whether a device is certainly the CPU, without importing torch."""
    if device != "auto":
        return device.startswith("cpu")
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    if version.endswith("+cpu"):
        return True
    return platform == "linux" and "+xpu" not in version and not any(Path(name).exists() for name in _GPU_FILES)
