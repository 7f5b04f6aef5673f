"""Whole batches of procedural samples for the packaged model: small and easy ones first, large ones in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch

from scripts.train.batch import Batch
from scripts.train.data import Renderer, Sample
from scripts.train.heldout import cases
from scripts.train.scenery.renderer import Scenery, SceneryRenderer
from scripts.train.sources.procedural import drawn_bank
from scripts.train.sources.source import ENDLESS, BatchSource, Reading


@dataclass(frozen=True, slots=True)
class Rendering:
    """What is drawn.

    Attributes:
        seed: of textures and samples.
        size: side of the usual samples.
        ease: during this first share of the run samples are of half the size, twice as many, and move less.
        far: share of the later steps whose samples are of twice the size, a quarter as many, and move twice as far.
        backgrounds: textures to render at the start.
        sprites: the same.
        scenery: file of the textures of text, periodic things and drawings, which are drawn too; None for none.
    """

    seed: int
    size: int
    ease: float
    far: float
    backgrounds: int
    sprites: int
    scenery: Path | None = None


class Rendered(BatchSource):
    """Batches of `scripts.train.data` or `scripts.train.scenery`, rendered on the device.

    Args:
        rendering: what is drawn.
        device: of torch.
    """

    def __init__(self, rendering: Rendering, device: torch.device) -> None:
        self.rendering = rendering
        drawn = (rendering.seed, rendering.backgrounds, rendering.sprites)
        self.scenery = Scenery.stored(rendering.scenery, *drawn).to(device) if rendering.scenery else None
        self.bank = drawn_bank(*drawn).to(device) if self.scenery is None else self.scenery.bank

    def __len__(self) -> int:
        return ENDLESS

    def steps(self, reading: Reading, progress: Callable[[], float]) -> Iterator[list[Batch]]:
        share, size = reading.share, self.rendering.size
        easy = self.renderer(2 * share.size, size // 2)
        usual = self.renderer(share.size, size)
        distant = self.renderer(max(1, share.size // 4), 2 * size)

        def drawn(step: int, part: int) -> Sample:
            number = (step * share.parts + part) * share.workers + share.worker
            done, ease = progress(), self.rendering.ease
            if done < ease:
                return easy.draw(number, 0.3 + 0.7 * done / ease)
            # Every process must take the same branch, or they would wait for each other.
            if (step * 0.618034) % 1 < self.rendering.far:
                return distant.draw(number, 2.0)
            return usual.draw(number)

        for step in count(reading.begin):
            yield [as_batch(drawn(step, part)) for part in range(share.parts)]

    def renderer(self, batch: int, side: int) -> Renderer | SceneryRenderer:
        """Return what draws batches of squares."""
        if self.scenery is None:
            return Renderer(self.bank, batch, (side, side), self.rendering.seed)
        return SceneryRenderer(self.scenery, batch, (side, side), self.rendering.seed)

    def identity(self) -> dict[str, object]:
        name = "data.py" if self.scenery is None else "data.py and scripts/train/scenery"
        rendering = self.rendering
        return {
            "set": f"procedural samples of scripts/train/{name}; no photograph or video",
            "seed": rendering.seed,
            "images": (rendering.backgrounds, rendering.sprites),
            "ease": rendering.ease,
            "far": rendering.far,
        }

    def validation(self, limit: int) -> list[Batch]:
        moving = [case for case in cases(-(-limit // 4)) if case.name != "still"]
        return [Batch(case.first, case.second, case.truth, torch.tensor([case.t])) for case in moving[:limit]]


def as_batch(sample: Sample) -> Batch:
    """Return a rendered sample as a batch."""
    return Batch(sample.first, sample.second, sample.truth, sample.t, sample.flow, sample.motion, sample.still)
