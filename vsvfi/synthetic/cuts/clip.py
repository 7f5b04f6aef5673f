"""Clips with known scene changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vsvfi.synthetic.texture import Array

type Frames = Callable[[int], Array]
"""Index -> [3, H, W] float32 RGB in [0, 1]."""


@dataclass(frozen=True, slots=True)
class CutClip:
    """Frames 0 .. length - 1 and the scene changes among them.

    Attributes:
        name: unique among the clips of one seed.
        kind: the class it is scored under.
        length: frames.
        cuts: index of the first frame of each new scene; the clip's own first frame is none.
        image: frames without grain.
        grain: standard deviation of noise that is new in every frame.
        seed: of the grain.
    """

    name: str
    kind: str
    length: int
    cuts: frozenset[int]
    image: Frames
    grain: float = 0.0
    seed: int = 0

    def frame(self, index: int) -> Array:
        """Frame `index`: [3, H, W] float32 RGB in [0, 1]."""
        image = self.image(index)
        if self.grain:
            noise = np.random.default_rng((self.seed, index)).standard_normal(image.shape, dtype=np.float32)
            image = image + noise * self.grain
        return np.asarray(np.clip(image, 0, 1), dtype=np.float32)
