"""Print the results of a benchmark: a table with measured and published figures, and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.evaluate.protocols import Protocol
from scripts.evaluate.published import Figure, published
from scripts.evaluate.results import Scored
from scripts.evaluate.scoring import means

_DECIMALS = {"PSNR": 2, "SSIM": 4, "IE": 3, "LPIPS": 3, "FloLPIPS": 3, "FID": 2, "EPE": 2}
"""Decimals as in the papers; other metrics have four."""


@dataclass(frozen=True, slots=True)
class SplitReport:
    """One measured split.

    Attributes:
        scored: the measured items.
        total: number of items in the split.
        further: scores of the split as a whole, by metric (FID).
    """

    data: str
    split: str
    model: str
    protocol: Protocol
    scored: Sequence[Scored]
    total: int
    warnings: tuple[str, ...] = ()
    further: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def scores(self) -> dict[str, float | None]:
        """Return the measured scores by metric."""
        of_items = means(self.scored, self.protocol.metrics, per_sequence=self.protocol.per_sequence)
        return {**of_items, **self.further}

    @property
    def figures(self) -> dict[str, Figure]:
        """Return the published figures by metric."""
        return published(self.model, self.data, self.split, self.protocol)

    @property
    def images(self) -> int:
        return sum(len(entry.targets) for entry in self.scored)


def print_table(report: SplitReport) -> None:
    """Print the measured and the published figures of one split."""
    whose = "authors' protocol" if report.protocol.authors else "not a published protocol"
    part = "" if len(report.scored) == report.total else f" (of {report.total} items, {len(report.scored)})"
    print(f"{report.data} {report.split}, {report.model}: {report.images} images{part}, {whose}")
    print(f"  {'':10}{'ours':>10}{'published':>12}{'difference':>12}")
    figures = report.figures
    for metric, value in report.scores.items():
        digits = _DECIMALS.get(metric, 4)
        ours = "infinite" if value is None else f"{value:.{digits}f}"
        figure = figures.get(metric)
        if figure is None:
            print(f"  {metric:10}{ours:>10}{'-':>12}")
            continue
        difference = "" if value is None else f"{value - figure.value:+.{digits}f}"
        print(f"  {metric:10}{ours:>10}{figure.value:>12.{digits}f}{difference:>12}  {figure.status}")
    for metric, figure in figures.items():
        if metric not in report.scores:
            print(f"  {metric:10}{'-':>10}{figure.value:>12.{_DECIMALS.get(metric, 4)}f}{'':>12}  {figure.status}")


def as_json(data: str, model: str, weights: str | None, reports: Sequence[SplitReport]) -> dict[str, object]:
    """Return everything as JSON values.

    A mean that is not finite is null; `weights` is a file that replaces the published one.
    """
    splits = {report.split: _split(report) for report in reports}
    return {"set": data, "model": model, "weights": weights, "splits": splits}


def _split(report: SplitReport) -> dict[str, object]:
    figures = report.figures
    scores = {
        metric: {"value": value, "form": report.protocol.metrics.get(metric, metric.lower())}
        | ({"published": figure.value, "status": figure.status} if (figure := figures.get(metric)) is not None else {})
        for metric, value in report.scores.items()
    }
    return {
        "items": len(report.scored),
        "of_items": report.total,
        "images": report.images,
        "scores": scores,
        "seconds_per_image": round(sum(entry.seconds for entry in report.scored) / max(report.images, 1), 4),
        "protocol": _plain(dataclasses.asdict(report.protocol)),
        "warnings": list(report.warnings),
    }


def _plain(value: object) -> object:
    """Convert fractions to numbers for JSON."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value if isinstance(value, bool | int | str) or value is None else float(value)  # type: ignore[arg-type]
