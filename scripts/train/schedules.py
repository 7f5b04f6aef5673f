"""Learning rates of the published runs, and averages of weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Schedule(Protocol):
    """The learning rate as a function of the optimiser step, counted from 0."""

    def rate(self, step: int, steps: float, base: float) -> float:
        """Return the rate.

        Args:
            step: from 0.
            steps: of the whole run; an estimate where a clock ends it.
            base: the group's initial rate.
        """


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2


@dataclass(frozen=True, slots=True)
class Constant:
    """The same rate throughout."""

    def rate(self, step: int, steps: float, base: float) -> float:
        return base


@dataclass(frozen=True, slots=True)
class Plateau:
    """A linear warm-up, the full rate, and a linear fall to a two-hundredth.

    Attributes:
        warmup: steps.
        fall_from: share of the run at which the rate begins to fall.
    """

    warmup: int
    fall_from: float

    def rate(self, step: int, steps: float, base: float) -> float:
        fall = min(1.0, max(0.0, (1 - step / steps) / (1 - self.fall_from)))
        return base * min(1.0, (step + 1) / self.warmup) * max(fall, 0.005)


@dataclass(frozen=True, slots=True)
class Cosine:
    """A linear warm-up from zero, then half a cosine down to `end`.

    Attributes:
        end: the final rate; where `proportional`, as a share of the group's rate.
        warmup: steps.
        from_one: whether the published program counts steps from 1.
        warmup_share: the warm-up as a share of the run, instead of `warmup`.
        proportional: keep the ratio of the groups' rates.
    """

    end: float
    warmup: int = 0
    from_one: bool = False
    warmup_share: float = 0.0
    proportional: bool = False

    def rate(self, step: int, steps: float, base: float) -> float:
        counted = step + 1 if self.from_one else step
        warmup = round(self.warmup_share * steps) if self.warmup_share else min(self.warmup, steps // 2)
        if counted < warmup:
            return base * counted / warmup
        return _cosine(base, self.end * (base if self.proportional else 1), (counted - warmup) / max(1, steps - warmup))


@dataclass(frozen=True, slots=True)
class Average:
    """A running average of weights.

    Attributes:
        limit: the largest decay; None for none, which remembers about the last ninth of the run.
        buffers: average the stored statistics too, integers truncated.
        first: number of the first update.
    """

    limit: float | None
    buffers: bool = False
    first: int = 1

    def decay(self, update: int) -> float:
        """Return the decay of an update, counted from 0."""
        number = update + self.first
        ramp = (1 + number) / (10 + number)
        return ramp if self.limit is None else min(self.limit, ramp)

    @torch.no_grad()
    def update(self, average: dict[str, Tensor], current: dict[str, Tensor], number: int) -> None:
        """Update tensors in place; `number` counts from 0."""
        decay = self.decay(number)
        for name, slow in average.items():
            fast = current[name]
            if slow.is_floating_point():
                slow.lerp_(fast.to(slow.dtype), 1 - decay)
            else:
                slow.copy_((decay * slow.double() + (1 - decay) * fast.double()).to(slow.dtype))
