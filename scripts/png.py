"""Write float images as PNG with the package's writer (the extra `video`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsvfi.media.stills import Still, write_png


def save_png(path: Path, image: NDArray[np.float32]) -> None:
    """Write RGB [3, H, W] in [0, 1] with eight bits, rounded to nearest; a file of that name is replaced atomically."""
    colour = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    write_png(path, Still(np.ascontiguousarray(colour)), overwrite=True)
