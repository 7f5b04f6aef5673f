"""The metrics of the protocols by name, and the means over a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from torch import Tensor

from scripts.evaluate.results import Scored
from vsvfi.engine.device import resolve_device
from vsvfi.errors import VsvfiError
from vsvfi.metrics import (
    FloLpips,
    Inception,
    Lpips,
    interpolation_error,
    motion_error,
    motion_psnr,
    motion_scale,
    psnr,
    ssim,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The images [1, 3, H, W] in [0, 1] from which one target is scored.

    For the motion sets they are flows [1, 2, H, W], the prediction normalised and the others in pixels.
    """

    prediction: Tensor
    truth: Tensor
    first: Tensor
    second: Tensor


type Scorer = Callable[[Answer], float]


@dataclass(slots=True)
class Networks:
    """The networks that metrics need, built when a form first asks for one.

    Attributes:
        alexnet, heads, pwcnet, inception: files of weights; None fetches the published ones.
        device: computes them.
    """

    alexnet: Path | None = None
    heads: Path | None = None
    pwcnet: Path | None = None
    inception: Path | None = None
    device: str = "cpu"
    _lpips: Lpips | None = None
    _features: Inception | None = None

    def lpips(self) -> Lpips:
        """Return LPIPS, built once."""
        if self._lpips is None:
            self._lpips = Lpips(self.alexnet, self.heads, resolve_device(self.device))
        return self._lpips

    def features(self) -> Inception:
        """Return the features for FID, built once."""
        if self._features is None:
            self._features = Inception(self.inception, resolve_device(self.device))
        return self._features


type _Builder = Callable[[Networks], Scorer]


def _of_two(metric: Callable[..., Tensor], *form: str) -> _Builder:
    """A metric of prediction and truth alone."""
    return lambda networks: lambda answer: float(metric(answer.prediction, answer.truth, *form))


def _of_motion(metric: Callable[..., Tensor]) -> _Builder:
    """A metric of normalised flow."""
    return lambda networks: (
        lambda answer: float(metric(answer.prediction, answer.truth, motion_scale(answer.first, answer.second)))
    )


def _lpips(networks: Networks) -> Scorer:
    metric = networks.lpips()
    return lambda answer: float(metric(answer.prediction, answer.truth))


def _flolpips(networks: Networks) -> Scorer:
    metric = FloLpips(networks.lpips(), networks.pwcnet)
    return lambda answer: float(metric(answer.prediction, answer.truth, answer.first, answer.second))


FORMS: Mapping[str, _Builder] = {
    "psnr": _of_two(psnr, "plain"),
    "psnr_rounded": _of_two(psnr, "rounded"),
    "psnr_uint8": _of_two(psnr, "uint8"),
    "psnr_capped": _of_two(psnr, "capped"),
    "ssim": _of_two(ssim, "plain"),
    "ssim_rounded": _of_two(ssim, "rounded"),
    "ssim_255": _of_two(ssim, "255"),
    "ssim_uniform": _of_two(ssim, "uniform"),
    "ie": _of_two(interpolation_error),
    "lpips": _lpips,
    "flolpips": _flolpips,
    "flow_psnr": _of_motion(motion_psnr),
    "flow_epe": _of_motion(motion_error),
}
"""Form -> constructor of its scorer, which may fetch weights."""

MOTION_FORMS = ("flow_psnr", "flow_epe")
"""Forms for the motion sets."""

FILES = {"lpips": "--alexnet", "flolpips": "--alexnet and --pwcnet", "fid": "--inception"}
"""Metric -> the options that take its weights as files."""


def build_scorers(forms: Iterable[str], networks: Networks) -> tuple[dict[str, Scorer], dict[str, str]]:
    """Return scorers by form, and why others cannot be computed here."""
    built: dict[str, Scorer] = {}
    left_out: dict[str, str] = {}
    for form in dict.fromkeys(forms):
        try:
            built[form] = FORMS[form](networks)
        except (ImportError, VsvfiError) as error:
            left_out[form] = explained(form, error)
    return built, left_out


def explained(metric: str, error: Exception) -> str:
    """Return the text of an error, with the option in place of the argument of Python that takes a file of weights."""
    return str(error).replace("weights=PATH", f"it with {FILES.get(metric, '--weights')}")


def mean(values: Sequence[float]) -> float | None:
    """Return the arithmetic mean; None if empty or not finite (identical images have no finite PSNR)."""
    found = fmean(values) if values else math.nan
    return found if math.isfinite(found) else None


def means(scored: Iterable[Scored], metrics: Mapping[str, str], *, per_sequence: bool) -> dict[str, float | None]:
    """Return a split's mean by metric: over targets, or over sequences of the means over their targets."""
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
