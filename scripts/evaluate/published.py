"""Published figures, each with its source: the authors' repository, or a later paper's table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from scripts.evaluate.protocols import Protocol

CONFIRMED, SECOND_HAND, APPROXIMATE = "confirmed", "second-hand", "second-hand, approximate"


@dataclass(frozen=True, slots=True)
class Figure:
    """One published number."""

    model: str
    data: str
    split: str
    metric: str
    value: float
    status: str


_COLUMNS = (
    ("vimeo90k", "all"),
    ("ucf101", "dvf"),
    ("snu_film", "easy"),
    ("snu_film", "medium"),
    ("snu_film", "hard"),
    ("snu_film", "extreme"),
)
"""Figures shared by the tables of midpoint interpolation, each PSNR and SSIM."""

_MIDPOINTS: Mapping[tuple[str, str], str] = {
    ("ifrnet_s", CONFIRMED): "35.59/0.9786 35.28/0.9691 39.96/0.9905 35.92/0.9792 30.36/0.9357 25.05/0.8582",
    ("ifrnet", CONFIRMED): "35.80/0.9794 35.29/0.9693 40.03/0.9905 35.94/0.9793 30.41/0.9358 25.05/0.8587",
    ("ifrnet_l", CONFIRMED): "36.20/0.9808 35.42/0.9698 40.10/0.9906 36.12/0.9797 30.63/0.9368 25.27/0.8609",
    ("uprnet_base", CONFIRMED): "36.03/0.9801 35.41/0.9698 40.37/0.9910 36.16/0.9797 30.67/0.9365 25.49/0.8627",
    ("uprnet_large", CONFIRMED): "36.28/0.9810 35.43/0.9700 40.42/0.9911 36.24/0.9799 30.81/0.9370 25.58/0.8636",
    ("uprnet_llarge", CONFIRMED): "36.42/0.9815 35.47/0.9700 40.44/0.9911 36.29/0.9801 30.86/0.9377 25.63/0.8641",
    ("vfimamba", SECOND_HAND): "36.64/0.9819 35.45/0.9702 40.51/0.9912 36.40/0.9805 30.99/0.9401 25.79/0.8682",
}

_PERCEPTUAL = (
    ("xtest", "2k"),
    ("xtest", "4k"),
    ("snu_film_arb", "medium"),
    ("snu_film_arb", "hard"),
    ("snu_film_arb", "extreme"),
)
"""GIMM-VFI's table, each LPIPS and FID."""

_GIMM = {
    "gimmvfi_r": "0.113/6.52 0.149/6.49 0.033/5.89 0.060/9.59 0.110/16.45",
    "gimmvfi_f": "0.103/6.74 0.142/6.58 0.031/5.86 0.059/9.95 0.109/16.79",
    "gimmvfi_r_p": "0.047/4.62 0.099/4.74 0.016/3.81 0.030/4.93 0.059/7.30",
    "gimmvfi_f_p": "0.047/4.42 0.098/4.57 0.017/3.76 0.030/4.93 0.058/7.40",
}

_OTHERS: tuple[tuple[str, str, str, str, Mapping[str, float]], ...] = (
    ("ifrnet_s", "middlebury", "all", CONFIRMED, {"PSNR": 37.24, "SSIM": 0.9851, "IE": 1.995}),
    ("ifrnet", "middlebury", "all", CONFIRMED, {"PSNR": 37.50, "SSIM": 0.9861, "IE": 1.946}),
    ("ifrnet_l", "middlebury", "all", CONFIRMED, {"PSNR": 38.18, "SSIM": 0.9875, "IE": 1.846}),
    ("ifrnet_gopro", "gopro", "all", CONFIRMED, {"PSNR": 29.84, "SSIM": 0.920}),
    ("ifrnet_gopro", "adobe240", "all", CONFIRMED, {"PSNR": 31.93, "SSIM": 0.943}),
    ("uprnet_base", "xtest", "4k", CONFIRMED, {"PSNR": 30.13, "SSIM": 0.8990}),
    ("uprnet_large", "xtest", "4k", CONFIRMED, {"PSNR": 30.68, "SSIM": 0.9086}),
    ("uprnet_llarge", "xtest", "4k", CONFIRMED, {"PSNR": 30.50, "SSIM": 0.9048}),
    ("uprnet_llarge", "xtest", "4k", SECOND_HAND, {"LPIPS": 0.154}),
    ("uprnet_llarge", "snu_film_arb", "extreme", SECOND_HAND, {"LPIPS": 0.111}),
    ("vfimamba", "xiph", "2k", SECOND_HAND, {"PSNR": 37.13, "SSIM": 0.9451}),
    ("vfimamba", "xiph", "4k", SECOND_HAND, {"PSNR": 34.62, "SSIM": 0.9059}),
    ("gimmvfi_r", "xtest", "2k", SECOND_HAND, {"PSNR": 32.7}),
    ("gimmvfi_f", "xtest", "2k", SECOND_HAND, {"PSNR": 32.9}),
    *(
        (model, "snu_film_arb", split, APPROXIMATE, {"PSNR": value})
        for model in ("gimmvfi_r", "gimmvfi_f")
        for split, value in (("hard", 32.6), ("extreme", 28.0))
    ),
    ("ldmvfi", "snu_film", "extreme", SECOND_HAND, {"LPIPS": 0.123, "FloLPIPS": 0.204, "FID": 47.04}),
    ("ldmvfi", "ucf101", "qvi", SECOND_HAND, {"PSNR": 32.186}),
)

_ALL_LEVELS = {
    "uprnet_base": {"PSNR": 29.27, "SSIM": 0.8877},
    "uprnet_large": {"PSNR": 30.14, "SSIM": 0.9046},
    "uprnet_llarge": {"PSNR": 29.91, "SSIM": 0.8998},
}
"""UPR-Net on X-TEST 4K with no level skipped (the rows with a dagger; scale 1)."""


def figures() -> Iterator[Figure]:
    """Yield all figures of the authors' default protocols."""
    for (model, status), row in _MIDPOINTS.items():
        for (data, split), cell in zip(_COLUMNS, row.split(), strict=True):
            for metric, value in zip(("PSNR", "SSIM"), cell.split("/"), strict=True):
                yield Figure(model, data, split, metric, float(value), status)
    for model, row in _GIMM.items():
        for (data, split), cell in zip(_PERCEPTUAL, row.split(), strict=True):
            for metric, value in zip(("LPIPS", "FID"), cell.split("/"), strict=True):
                yield Figure(model, data, split, metric, float(value), CONFIRMED)
    for model, data, split, status, values in _OTHERS:
        for metric, number in values.items():
            yield Figure(model, data, split, metric, number, status)


def published(model: str, data: str, split: str, protocol: Protocol) -> dict[str, Figure]:
    """Return the figures to print beside the measured ones, by metric."""
    found = {
        figure.metric: figure
        for figure in figures()
        if (figure.model, figure.data, figure.split) == (model, data, split)
    }
    if (data, split) == ("xtest", "4k") and model in _ALL_LEVELS and protocol.scale == Fraction(1):
        for metric, value in _ALL_LEVELS[model].items():
            found[metric] = Figure(model, data, split, metric, value, CONFIRMED)
    return found
