"""Metrics of interpolated images, as the papers compute them.

    from vsvfi.metrics import psnr, ssim

    psnr(prediction, truth)                # decibels
    ssim(prediction, truth, "uniform")     # scikit-image's
    lpips = Lpips()                        # downloads weights; or Lpips(backbone=FILE, heads=FILE)
    lpips(prediction, truth)

Images are [..., C, H, W], floating point in [0, 1] or uint8; results are float64, one for each image. Average the
results over images. `docs/evaluate.md` lists the form that each family reports.
"""

from __future__ import annotations

from vsvfi.metrics.flolpips import FloLpips
from vsvfi.metrics.frechet import Inception, fid, frechet_distance
from vsvfi.metrics.lpips import Lpips
from vsvfi.metrics.motion import end_point_error, motion_error, motion_psnr, motion_scale
from vsvfi.metrics.psnr import PSNR_FORMS, PsnrForm, interpolation_error, psnr
from vsvfi.metrics.ssim import SSIM_FORMS, SsimForm, ssim

__all__ = [
    "PSNR_FORMS",
    "SSIM_FORMS",
    "FloLpips",
    "Inception",
    "Lpips",
    "PsnrForm",
    "SsimForm",
    "end_point_error",
    "fid",
    "frechet_distance",
    "interpolation_error",
    "motion_error",
    "motion_psnr",
    "motion_scale",
    "psnr",
    "ssim",
]
