"""PSNR, SSIM and interpolation error: the published programs' values, the laws of the formulas, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.metrics.goldens import cases, needs_goldens, tensors
from vsvfi.errors import ArgumentError
from vsvfi.metrics import PSNR_FORMS, SSIM_FORMS, interpolation_error, psnr, ssim

EXACT = 1e-8
FORMS = {
    "psnr_float32": (psnr, "plain", None),
    "psnr_float64": (psnr, "plain", EXACT),
    "psnr_rounded": (psnr, "rounded", None),
    "psnr_uint8": (psnr, "uint8", EXACT),
    "psnr_capped": (psnr, "capped", None),
    "ssim3d_float": (ssim, "plain", None),
    "ssim3d_float_f64": (ssim, "plain", EXACT),
    "ssim3d_rounded": (ssim, "rounded", None),
    "ssim3d_255": (ssim, "255", None),
    "ssim_uniform7_uint8": (ssim, "uniform", EXACT),
    "ie": (interpolation_error, None, None),
}
"""Stored value -> what computes it, and how near it must be; None where the program computed in float32."""

STORED = [(case, name) for case, values in cases().get("image", {}).items() for name in values if name in FORMS]


@needs_goldens
@pytest.mark.parametrize(("case", "name"), STORED)
def test_golden_metrics_of_images(case: str, name: str) -> None:
    stored = cases()["image"][case][name]
    images = tensors(case)
    truth = images["truth"].double() / 255 if name == "psnr_float64" else images["truth"]
    measure, form, tolerance = FORMS[name]
    found = float(measure(images["pred"], truth, *([form] if form else [])))
    if stored in ("inf", "error"):  # an exception of the program, where the mean square is zero
        assert found == math.inf
    else:
        assert found == pytest.approx(
            stored, rel=0, abs=tolerance or cases()["about"]["tolerances"][name.split("_")[0][:4]]
        )


def pair(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    truth = torch.rand(shape, generator=source)
    return (truth + 0.05 * torch.randn(shape, generator=source)).clamp(0, 1), truth


def every_form() -> list[tuple[object, object]]:
    return [*((psnr, form) for form in PSNR_FORMS), *((ssim, form) for form in SSIM_FORMS)]


@pytest.mark.parametrize(("measure", "form"), every_form())
def test_an_image_of_a_batch_scores_as_alone(measure, form) -> None:
    prediction, truth = pair(2, 2, 3, 19, 23)
    together = measure(prediction, truth, form)
    assert together.shape == (2, 2)
    assert together.dtype is torch.float64
    assert float(together[1, 0]) == float(measure(prediction[1, 0], truth[1, 0], form))
    assert len(set(together.flatten().tolist())) == 4


@pytest.mark.parametrize(("measure", "form"), every_form())
def test_equal_images_score_highest_whatever_their_type(measure, form) -> None:
    levels = (pair(3, 17, 16)[1] * 255).round().to(torch.uint8)
    best = 80 if form == "capped" else math.inf if measure is psnr else 1
    for other in (levels, levels.float() / 255, levels.double() / 255):
        assert float(measure(levels, other, form)) == pytest.approx(best, abs=1e-12)
        assert float(measure(other, levels, form)) == pytest.approx(best, abs=1e-12)


def test_psnr_is_of_one_mean_over_pixels_and_channels() -> None:
    truth = torch.zeros(3, 4, 5)
    prediction = truth.clone()
    prediction[0, 0, 0] = 0.3
    assert float(psnr(prediction, truth)) == pytest.approx(-10 * math.log10(0.3**2 / 60), abs=1e-6)


def test_only_the_prediction_is_rounded_by_the_form_of_that_name() -> None:
    truth, prediction = torch.full((3, 11, 11), 0.5), torch.full((3, 11, 11), 0.5)
    assert float(psnr(prediction, truth, "rounded")) == pytest.approx(20 * math.log10(255 / 0.5), abs=1e-3)
    assert float(psnr(prediction, truth, "uint8")) == math.inf


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_volume_of_ssim_is_that_of_the_formula(channels: int) -> None:
    """By a dense convolution over a volume padded on six sides, as the formula is written."""
    prediction, truth = (image.double() for image in pair(channels, 13, 140, seed=1))
    places = torch.arange(-5, 6, dtype=torch.float64)
    taps = torch.exp(-places.square() / 4.5)
    window = torch.einsum("i,j,k->ijk", taps, taps, taps)[None, None]

    def local(image: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(image[None, None], (5,) * 6, mode="replicate")
        return torch.nn.functional.conv3d(padded, window / window.sum())

    m, n = local(prediction), local(truth)
    variances = local(prediction**2) - m**2 + local(truth**2) - n**2
    covariance = local(prediction * truth) - m * n
    expected = (2 * m * n + 1e-4) * (2 * covariance + 9e-4) / ((m**2 + n**2 + 1e-4) * (variances + 9e-4))
    found = float(ssim(prediction.mT, truth.mT))  # 140 rows, more than one strip has
    assert found == pytest.approx(float(expected.mean()), abs=1e-12)


def test_the_uniform_ssim_is_that_of_the_formula() -> None:
    levels = [(image * 255).round().double() for image in pair(2, 150, 9, seed=2)]
    a, b = (image.unfold(1, 7, 1).unfold(2, 7, 1).flatten(3) for image in levels)
    m, n = a.mean(-1), b.mean(-1)
    covariance = ((a - m[..., None]) * (b - n[..., None])).sum(-1) / 48
    c1, c2 = 2.55**2, 7.65**2
    below = (m**2 + n**2 + c1) * (a.var(-1) + b.var(-1) + c2)
    expected = (2 * m * n + c1) * (2 * covariance + c2) / below
    assert float(ssim(levels[0] / 255, levels[1] / 255, "uniform")) == pytest.approx(float(expected.mean()), abs=1e-12)


def test_half_precision_is_rounded_like_single() -> None:
    prediction, truth = (image.half() for image in pair(3, 16, 16))
    assert float(psnr(prediction, truth, "uint8")) == float(psnr(prediction.float(), truth.float(), "uint8"))


def test_interpolation_error_has_both_meanings() -> None:
    truth = torch.zeros(3, 2, 2, dtype=torch.uint8)
    prediction = truth.clone()
    prediction[:, 0, 0] = 8
    assert float(interpolation_error(prediction, truth)) == 2
    assert float(interpolation_error(prediction, truth, rms=True)) == 4


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        ((3, 16), (3, 16), r"prediction=\(3, 16\), must be \[..., channels, height, width\]"),
        ((3, 0, 16), (3, 0, 16), r"prediction=\(3, 0, 16\), must be"),
        ((3, 16, 16), (3, 16, 17), r"truth=\(3, 16, 17\), must have the prediction's shape \(3, 16, 16\)"),
        ((3, 16, 16), (1, 3, 16, 16), r"truth=\(1, 3, 16, 16\), must have the prediction's shape"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(prediction: tuple[int, ...], truth: tuple[int, ...], message: str) -> None:
    for measure in (psnr, ssim, interpolation_error):
        with pytest.raises(ArgumentError, match=message):
            measure(torch.zeros(prediction), torch.zeros(truth))


def test_other_refusals() -> None:
    image = torch.zeros(3, 10, 16)
    with pytest.raises(ArgumentError, match=r"each side must have 11 pixels or more"):
        ssim(image, image)
    assert float(ssim(image, image, "uniform")) == 1
    with pytest.raises(ArgumentError, match=r"each side must have 7 pixels or more"):
        ssim(image[..., :6], image[..., :6], "uniform")
    with pytest.raises(ArgumentError, match=r"prediction=.*int64.*, must be uint8 or floating point"):
        psnr(image.long(), image)
    with pytest.raises(ArgumentError, match=r"form='best', is not a form of PSNR; use one of plain, rounded"):
        psnr(image, image, "best")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"form='best', is not a form of SSIM; use one of plain, rounded"):
        ssim(image.mT.repeat(1, 1, 2), image.mT.repeat(1, 1, 2), "best")  # type: ignore[arg-type]
