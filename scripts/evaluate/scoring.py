"""The metrics of the protocols by name, and the means over a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from torch import Tensor

from scripts.evaluate.results import Scored
from vsvfi.errors import VsvfiError
from vsvfi.metrics import interpolation_error, psnr, ssim


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


def _of_two(metric: Callable[..., Tensor], *form: str) -> Callable[[], Scorer]:
    """A metric of prediction and truth alone."""
    return lambda: lambda answer: float(metric(answer.prediction, answer.truth, *form))


def _flow_psnr(answer: Answer) -> float:
    """Of normalised flows, peak 1."""
    scale = _flow_scale(answer)
    return float(psnr(answer.prediction, (answer.truth / scale + 1) / 2))


def _flow_epe(answer: Answer) -> float:
    """Mean length of the error in pixels."""
    scale = _flow_scale(answer)
    error = scale * (2 * answer.prediction.double() - 1) - answer.truth.double()
    return float(error.square().sum(1).sqrt().mean())


def _flow_scale(answer: Answer) -> float:
    """What the input flows are divided by: their largest component."""
    return max(float(answer.first.abs().max()), float(answer.second.abs().max()), 1e-8)


FORMS: Mapping[str, Callable[[], Scorer]] = {
    "psnr": _of_two(psnr, "plain"),
    "psnr_rounded": _of_two(psnr, "rounded"),
    "psnr_uint8": _of_two(psnr, "uint8"),
    "psnr_capped": _of_two(psnr, "capped"),
    "ssim": _of_two(ssim, "plain"),
    "ssim_rounded": _of_two(ssim, "rounded"),
    "ssim_255": _of_two(ssim, "255"),
    "ssim_uniform": _of_two(ssim, "uniform"),
    "ie": _of_two(interpolation_error),
    "flow_psnr": lambda: _flow_psnr,
    "flow_epe": lambda: _flow_epe,
}
"""What a form is computed by; building it may fetch weights."""


def build_scorers(forms: Iterable[str]) -> tuple[dict[str, Scorer], dict[str, str]]:
    """Functions by form; and why others cannot be computed here."""
    built: dict[str, Scorer] = {}
    left_out: dict[str, str] = {}
    for form in dict.fromkeys(forms):
        if form not in FORMS:
            left_out[form] = "this version does not compute it"
            continue
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
