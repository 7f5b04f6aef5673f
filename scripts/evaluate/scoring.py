"""The metrics of the protocols by name, and the means over a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from torch import Tensor

from scripts.evaluate.results import Scored


@dataclass(frozen=True, slots=True)
class Answer:
    """What one target is scored by: pictures [1, 3, H, W] in [0, 1]; of the motion sets flows [1, 2, H, W], the
    prediction normalised and the rest in pixels.
    """

    prediction: Tensor
    truth: Tensor
    first: Tensor
    second: Tensor


type Scorer = Callable[[Answer], float]


def mean(values: Sequence[float]) -> float | None:
    """The arithmetic mean; None for nothing, and for what is not finite (identical pictures have no finite PSNR)."""
    found = fmean(values) if values else math.nan
    return found if math.isfinite(found) else None


def means(scored: Iterable[Scored], metrics: Mapping[str, str], *, per_sequence: bool) -> dict[str, float | None]:
    """The score of a split by each metric: over targets, or over sequences of the means over theirs."""
    listed = list(scored)
    found: dict[str, float | None] = {}
    for label, form in metrics.items():
        if not per_sequence:
            found[label] = mean([target[form] for entry in listed for target in entry.scores])
            continue
        groups: dict[str, list[float]] = {}
        for entry in listed:
            groups.setdefault(entry.group, []).extend(target[form] for target in entry.scores)
        found[label] = mean([fmean(values) for values in groups.values()])
    return found
