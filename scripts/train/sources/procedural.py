"""Procedural scenes as a source: no download, and exact flows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from scripts.train.augment import Clip
from scripts.train.bank import Bank
from scripts.train.batch import Batch
from scripts.train.data import Renderer
from scripts.train.heldout import cases
from scripts.train.sources.source import Source, of_clip

HELD_OUT = 1 << 30
"""First number of the samples that are kept apart."""


IMAGES = (64, 80)
"""Backgrounds and sprites to render at the start."""


drawn_bank = lru_cache(maxsize=2)(Bank.drawn)
"""Draw a bank, or return one that was just drawn."""


class Procedural(Source):
    """Samples of `scripts.train.data`.

    Args:
        size: side in pixels.
        seed: of the images and the samples.
        middle_only: every target is at t = 1/2.
        flows: validate on exact flows, for GIMM's first stage.
        images: backgrounds and sprites to render at the start.
    """

    def __init__(
        self, size: int, seed: int, *, middle_only: bool, flows: bool = False, images: tuple[int, int] = IMAGES
    ) -> None:
        self.size, self.seed, self.time, self.flows = size, seed, 0.5 if middle_only else None, flows
        self.images = images
        self.renderer = Renderer(drawn_bank(seed, *images), 1, (size, size), seed, self.time)

    def __len__(self) -> int:
        return HELD_OUT

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        return self._clip(index)

    def _clip(self, number: int) -> Clip:
        sample = self.renderer.draw(number)
        frames = torch.cat((sample.first, sample.truth, sample.second))
        return Clip(frames, (float(sample.t),), sample.flow[0], sample.motion[0])

    def identity(self) -> dict[str, object]:
        return {"set": "procedural samples of scripts/train/data.py", "seed": self.seed, "images": self.images}

    def validation(self, limit: int) -> list[Batch]:
        if self.flows:
            return [of_clip(self._clip(HELD_OUT + index)) for index in range(limit)]
        return [
            Batch(case.first, case.second, case.truth, torch.tensor([case.t], dtype=torch.float32))
            for case in cases(-(-limit // 4))
            if case.name != "still" and (self.time is None or case.t == self.time)
        ][:limit]


class Mixed(Source):
    """Two sources: one sample in `every` is of the general one."""

    def __init__(self, own: Source, general: Source, every: int) -> None:
        self.own, self.general, self.every = own, general, every

    def __len__(self) -> int:
        return len(self.own)

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        if int(random.integers(self.every)) == 0:
            drawn = self.general.draw(int(random.integers(len(self.general))), epoch, random)
            return Clip(drawn.frames, drawn.t)
        return self.own.draw(index, epoch, random)

    def identity(self) -> dict[str, object]:
        return {**self.own.identity(), "general": self.general.identity(), "general_share": f"1/{self.every}"}

    def validation(self, limit: int) -> list[Batch]:
        return self.own.validation(limit)
