"""The metrics of the protocols by name, and the means over a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import torch
from torch import Tensor

from scripts.evaluate.results import Scored
from vsvfi.engine.device import resolve_device
from vsvfi.errors import VsvfiError, WeightsError, for_command
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
from vsvfi.metrics.weights import ALEXNET, INCEPTION, LPIPS_HEADS, PWCNET


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
    _built: dict[str, Any] = field(default_factory=dict)

    def lpips(self) -> Lpips:
        """Return LPIPS."""
        return self._once("lpips", lambda device: Lpips(self.alexnet, self.heads, device))

    def flolpips(self) -> FloLpips:
        """Return FloLPIPS."""
        lpips = self.lpips()
        return self._once("flolpips", lambda device: FloLpips(lpips, self.pwcnet))

    def features(self) -> Inception:
        """Return the features for FID."""
        return self._once("features", lambda device: Inception(self.inception, device))

    def _once[Built](self, name: str, build: Callable[[torch.device], Built]) -> Built:
        """Build a network, or raise the error of its first try: a second download would fail as the first one did."""
        if name not in self._built:
            try:
                self._built[name] = build(resolve_device(self.device))
            except (ImportError, VsvfiError) as error:
                self._built[name] = error
        found = self._built[name]
        if isinstance(found, Exception):
            raise found
        return cast(Built, found)


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
    metric = networks.flolpips()
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

OPTIONS = {
    ALEXNET.name: "--alexnet",
    LPIPS_HEADS.name: "--lpips-heads",
    PWCNET.name: "--pwcnet",
    INCEPTION.name: "--inception",
}
"""Network of a metric -> the option that takes its weights as a file; for models it is `--weights`."""


def build_scorers(forms: Iterable[str], networks: Networks) -> tuple[dict[str, Scorer], dict[str, str]]:
    """Return scorers by form, and why others cannot be computed here."""
    built: dict[str, Scorer] = {}
    left_out: dict[str, str] = {}
    for form in dict.fromkeys(forms):
        try:
            built[form] = FORMS[form](networks)
        except (ImportError, VsvfiError) as error:
            left_out[form] = explained(error)
    return built, left_out


def explained(error: Exception) -> str:
    """Return the text of an error, which names the option for the weights of the network that failed."""
    network = error.network if isinstance(error, WeightsError) else ""
    return for_command(str(error), weights=OPTIONS.get(network, "--weights"))


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
