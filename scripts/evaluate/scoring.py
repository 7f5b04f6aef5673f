"""The metrics of the protocols by name, and the means over a split."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from torch import Tensor

from scripts.evaluate.results import Scored
from vsvfi.errors import VsvfiError


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


def _of_two(name: str, **settings: object) -> Callable[[], Scorer]:
    """A metric of prediction and truth, a function of `vsvfi.metrics`."""

    def build() -> Scorer:
        metric: Callable[..., Any] = getattr(importlib.import_module("vsvfi.metrics"), name)
        return lambda answer: float(metric(answer.prediction, answer.truth, **settings))

    return build


FORMS: Mapping[str, Callable[[], Scorer]] = {
    "psnr": _of_two("psnr"),
    "psnr_uint8": _of_two("psnr_uint8"),
    "psnr_capped": _of_two("psnr_capped"),
    "ssim": _of_two("ssim_3d"),
    "ssim_255": _of_two("ssim_3d", peak=255),
    "ssim_uniform": _of_two("ssim_uniform"),
    "ie": _of_two("ie"),
    "lpips": _of_two("lpips"),
    "flolpips": _of_two("flolpips"),
    "flow_psnr": _of_two("flow_psnr"),
    "flow_epe": _of_two("flow_epe"),
}


def build_scorers(forms: Iterable[str]) -> tuple[dict[str, Scorer], dict[str, str]]:
    """Functions by form; and why others cannot be computed here."""
    built: dict[str, Scorer] = {}
    left_out: dict[str, str] = {}
    for form in dict.fromkeys(forms):
        try:
            built[form] = FORMS[form]()
        except (ImportError, VsvfiError) as error:
            left_out[form] = str(error)
    return built, left_out


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
