"""The interface of all sources, and how samples become batches: the same ones for any number of workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from scripts.train.augment import Augmentation, Clip, augmented
from scripts.train.batch import Batch

ENDLESS = 1 << 24
"""Number of clips from which a source is drawn in order, since no run sees all of it."""


class BatchSource(ABC):
    """What a run is trained on."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of clips."""

    @abstractmethod
    def steps(self, reading: Reading, progress: Callable[[], float]) -> Iterator[list[Batch]]:
        """Yield the micro-batches of each step.

        Args:
            reading: which steps, and this process's share of them.
            progress: returns the completed share of the run, 0 to 1.
        """

    @abstractmethod
    def identity(self) -> dict[str, object]:
        """Describe the data for the record."""

    def validation(self, limit: int) -> list[Batch]:
        """Return up to `limit` whole samples that are kept apart, one in each batch; none by default."""
        return []

    @property
    def targets(self) -> int:
        """Targets of each clip."""
        return 1


class Source(BatchSource):
    """A set of clips."""

    @abstractmethod
    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        """Return a clip; `random` is the only source of random choices."""

    def steps(self, reading: Reading, progress: Callable[[], float]) -> Iterator[list[Batch]]:
        samples = Samples(self, reading.augmentation, reading.crop, reading.seed)
        stream = batches(samples, reading.share, reading.begin, reading.end, reading.workers)
        while parts := list(islice(stream, reading.share.parts)):
            yield parts


def of_clip(clip: Clip) -> Batch:
    """Convert a clip to a batch with one sample per target."""
    count = len(clip.t)
    first, second = (clip.frames[end : end + 1 or None].expand(count, -1, -1, -1) for end in (0, -1))
    flow, motion = (
        None if field is None else field[None].expand(count, -1, -1, -1) for field in (clip.flow, clip.motion)
    )
    return Batch(first, second, clip.frames[1:-1], torch.tensor(clip.t, dtype=torch.float32), flow, motion)


def together(batches: Sequence[Batch]) -> Batch:
    """Concatenate batches."""

    def joined(name: str) -> Tensor | None:
        parts = [getattr(batch, name) for batch in batches]
        return None if any(part is None for part in parts) else torch.cat(parts)

    return Batch(*(joined(name) for name in Batch.__slots__))  # type: ignore[arg-type]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.random.default_rng((seed, epoch, 0xE90C)).permutation(count)


@dataclass(frozen=True)
class Samples(Dataset[Batch]):
    """Clips by their number in the run: shuffled anew in each epoch, then cropped and augmented.

    Attributes:
        source: of the clips.
        augmentation: of the recipe.
        crop: side in pixels.
        seed: of the run.
    """

    source: Source
    augmentation: tuple[Augmentation, ...]
    crop: int
    seed: int

    def __getitem__(self, number: int) -> Batch:
        """Return sample `number` of the run; it depends on the seed and the number alone."""
        epoch, place = divmod(number, len(self.source))
        index = int(_order(self.seed, epoch, len(self.source))[place]) if len(self.source) < ENDLESS else place
        random = np.random.default_rng((self.seed, epoch, index))
        clip = self.source.draw(index, epoch, random)
        return of_clip(augmented(clip, self.augmentation, self.crop, random))


@dataclass(frozen=True, slots=True)
class Share:
    """Which samples a process has: micro-batches of `size` clips, of `clips` per optimiser step."""

    clips: int
    size: int
    worker: int = 0
    workers: int = 1

    @property
    def parts(self) -> int:
        """Micro-batches per step and process."""
        return self.clips // (self.size * self.workers)

    def numbers(self, step: int, part: int) -> list[int]:
        """Return the sample numbers of a micro-batch."""
        begin = step * self.clips + (part * self.workers + self.worker) * self.size
        return list(range(begin, begin + self.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a process reads its batches.

    Attributes:
        share: which samples it has.
        augmentation: of the recipe.
        crop: side in pixels.
        seed: of the run.
        begin: first step.
        end: step after the last.
        workers: processes that read; 0 for this one.
    """

    share: Share
    augmentation: tuple[Augmentation, ...]
    crop: int
    seed: int
    begin: int
    end: int
    workers: int


class _Order(Sampler[list[int]]):
    def __init__(self, share: Share, step: int, steps: int) -> None:
        self.share, self.step, self.steps = share, step, steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.step, self.steps):
            for part in range(self.share.parts):
                yield self.share.numbers(step, part)


def batches(samples: Samples, share: Share, step: int, steps: int, workers: int) -> Iterator[Batch]:
    """Yield the micro-batches from a step on, read by `workers` processes (0: by this one)."""
    loader = DataLoader(
        samples,
        batch_sampler=_Order(share, step, steps),
        collate_fn=together,
        num_workers=workers,
        persistent_workers=False,
        prefetch_factor=2 if workers else None,
    )
    yield from loader
