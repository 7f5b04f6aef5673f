"""The authors' protocols for each family and set: one table, in which every setting can be overridden.

Sections 2 and 8 of the evaluation specification are the source of each row. Without a row the model's own
defaults are used, and marked as such in the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

FULL, HALF, QUARTER = Fraction(1), Fraction(1, 2), Fraction(1, 4)


@dataclass(frozen=True, slots=True)
class Pad:
    """Pad both sizes to multiples of `multiple`.

    Padding is even on both sides or at the right and bottom; it repeats the edge, or is `value` if given.
    """

    multiple: int
    centred: bool = True
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Canvas:
    """Put the image at the top left of a black frame of this size."""

    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """Everything that determines a score.

    Attributes:
        metrics: the authors' name -> the form that computes it (see `scoring`).
        scale: resolution of the motion estimation; None for the family's rule.
        options: of the family (levels, tta, local, hr, steps, ...).
        padding: before the network; None for the family's own rule.
        times: how timesteps other than 1/2 are reached; None for the family's own way. Bisection works on padded,
            unrounded frames.
        rounding: predictions are rounded to 8 bits before any metric.
        per_sequence: the mean over sequences of the means over their targets.
        precision: of the network.
        tf32: TF32 is allowed for it on CUDA.
        authors: whether this is how the authors measured.
    """

    metrics: Mapping[str, str]
    scale: Fraction | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    padding: Pad | Canvas | None = None
    times: Literal["direct", "bisection"] | None = None
    rounding: bool = False
    per_sequence: bool = False
    precision: str = "fp32"
    tf32: bool = False
    authors: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the table: for a set, and for these splits and models of a family (empty for all)."""

    data: str
    protocol: Protocol
    splits: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


PLAIN = {"PSNR": "psnr", "SSIM": "ssim"}
DIFFUSION = {"PSNR": "psnr_capped", "SSIM": "ssim_255", "LPIPS": "lpips", "FloLPIPS": "flolpips"}
MOTION = {"PSNR": "flow_psnr", "EPE": "flow_epe"}

_IFRNET = Protocol(metrics=PLAIN, scale=FULL)
_IFRNET_8X = Protocol(metrics=PLAIN, scale=FULL, times="direct")


def _uprnet(levels: int, scale: Fraction = FULL, padding: Pad | None = None) -> Protocol:
    return Protocol(metrics=PLAIN, scale=scale, options={"levels": levels}, padding=padding)


def _vfimamba(  # one row for each of the two models, which differ in tta and local
    data: str,
    model: str,
    *,
    splits: tuple[str, ...] = (),
    scale: Fraction,
    local: bool,
    hr: bool = False,
    multiple: int | None = None,
    **rules: Any,
) -> Row:
    options = {"tta": model == "vfimamba", "local": local, "hr": hr}
    padding = None if multiple is None else Pad(multiple)
    rules = {"metrics": PLAIN, "scale": scale, "options": options, "padding": padding, **rules}
    protocol = Protocol(**rules)
    return Row(data, protocol, splits, (model,))


def _vfimamba_rows(model: str) -> tuple[Row, ...]:
    fast = model == "vfimamba_s"
    rows = [
        _vfimamba("vimeo90k", model, scale=FULL, local=True),
        _vfimamba("ucf101", model, splits=("dvf",), scale=FULL, local=False, rounding=True),
        _vfimamba("snu_film", model, splits=("easy", "medium"), scale=HALF, local=True, multiple=32),
        _vfimamba("snu_film", model, splits=("hard", "extreme"), scale=HALF, local=fast, multiple=32),
        _vfimamba(
            "xiph",
            model,
            scale=HALF,
            local=True,
            multiple=16,
            rounding=True,
            metrics={"PSNR": "psnr_uint8", "SSIM": "ssim_uniform"},
        ),
    ]
    for data in ("xtest", "xtest_l"):
        for split, scale in (("2k", HALF), ("4k", QUARTER)):
            rows.append(
                _vfimamba(
                    data,
                    model,
                    splits=(split,),
                    scale=scale,
                    local=True,
                    hr=True,
                    multiple=32,
                    rounding=True,
                    times="bisection",
                )
            )
    return tuple(rows)


_GIMM_XTEST = {"PSNR": "psnr", "LPIPS": "lpips"}


def _ldmvfi(data: str, *splits: str, per_sequence: bool = False) -> Row:
    options = {"steps": 200, "eta": 1.0}
    protocol = Protocol(metrics=DIFFUSION, scale=FULL, options=options, rounding=True, per_sequence=per_sequence)
    return Row(data, protocol, splits)


_IFRNETS = ("ifrnet_s", "ifrnet", "ifrnet_l")
_UPRNET = ("uprnet_base", "uprnet_large", "uprnet_llarge")
_GREY = 0.5

TABLE: Mapping[str, tuple[Row, ...]] = {
    "ifrnet": (
        Row("vimeo90k", _IFRNET, models=_IFRNETS),
        Row("ucf101", _IFRNET, ("dvf",), _IFRNETS),
        Row("snu_film", Protocol(metrics=PLAIN, scale=Fraction(4, 5), padding=Pad(20)), models=_IFRNETS),
        Row(
            "middlebury",
            Protocol(metrics={**PLAIN, "IE": "ie"}, scale=FULL, padding=Canvas(640, 480)),
            models=_IFRNETS,
        ),
        *(Row(data, _IFRNET_8X, models=tuple(f"{name}_gopro" for name in _IFRNETS)) for data in ("gopro", "adobe240")),
    ),
    "uprnet": (
        Row("vimeo90k", _uprnet(3), models=_UPRNET),
        Row("ucf101", _uprnet(3), ("dvf",), _UPRNET),
        Row("snu_film", _uprnet(5, padding=Pad(64, False, _GREY)), models=_UPRNET),
        Row("xtest", _uprnet(7, QUARTER, Pad(256, False, _GREY)), ("4k",), _UPRNET),
    ),
    "vfimamba": (*_vfimamba_rows("vfimamba"), *_vfimamba_rows("vfimamba_s")),
    "gimmvfi": (
        Row("snu_film_arb", Protocol(metrics=_GIMM_XTEST, scale=FULL, padding=Pad(32))),
        *(
            Row("xtest", Protocol(metrics=_GIMM_XTEST, scale=scale, padding=Pad(32), rounding=True), (split,))
            for split, scale in (("2k", HALF), ("4k", QUARTER))
        ),
    ),
    "ldmvfi": (
        _ldmvfi("middlebury"),
        _ldmvfi("ucf101"),
        _ldmvfi("snu_film"),
        _ldmvfi("davis", per_sequence=True),
        _ldmvfi("vfitex", per_sequence=True),
    ),
    "gimm": (Row("vtf", Protocol(metrics=MOTION)), Row("vsf", Protocol(metrics=MOTION))),
}


def protocol_for(family: str, model: str, data: str, split: str) -> Protocol:
    """Return the authors' protocol, or the model's defaults with plain metrics if they published none."""
    for row in TABLE.get(family, ()):
        if row.data == data and (not row.splits or split in row.splits) and (not row.models or model in row.models):
            return row.protocol
    return Protocol(metrics=PLAIN, per_sequence=data in ("davis", "vfitex"), authors=False)
