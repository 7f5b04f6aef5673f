"""Score a network in training on samples that are kept apart."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from scripts.train.batch import Batch
from scripts.train.forms.form import Form
from scripts.train.forms.gimmvfi import MotionForm
from scripts.train.forms.ldmvfi import AutoEncoderForm, DenoisingForm
from scripts.train.forms.packaged import PackagedForm
from vsvfi import metrics
from vsvfi.engine.build import AnyInterpolator

_MULTIPLE = 64
"""Padded sizes are multiples of it, which every family takes."""


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal to noise ratio of images in [0, 1], not rounded; at most 99."""
    return min(99.0, float(metrics.psnr(image.clamp(0, 1), truth)))


@torch.no_grad()
def predicted(network: AnyInterpolator, batch: Batch) -> Tensor:
    """Interpolate whole images [1, 3, H, W] of any size."""
    height, width = batch.first.shape[-2:]
    right, bottom = -width % _MULTIPLE, -height % _MULTIPLE
    first, second = (
        functional.pad(image, (0, right, 0, bottom), mode="replicate") for image in (batch.first, batch.second)
    )
    made: Tensor = network(first, second, batch.t)
    return made[..., :height, :width].float()


@dataclass(frozen=True, slots=True)
class Scored:
    """Mean score of the cases.

    Attributes:
        value: larger is better: PSNR in decibels of frames or, in GIMM's first stage, of normalised flow; minus the
            loss of a denoising U-Net.
        columns: other scores, for the curve.
        shown: the same in words.
    """

    value: float
    columns: dict[str, float] = field(default_factory=dict)
    shown: str = ""


@torch.no_grad()
def score(form: Form, cases: list[Batch], device: torch.device) -> Scored:
    """Score a form on the cases."""
    form.eval()
    if isinstance(form, PackagedForm):
        scored = form.scored(-(-len(cases) // 4))
        form.train()
        gains = "  ".join(f"{kind} {gain:+.2f}" for kind, gain in scored.by_kind.items())
        columns = {"heldout_blend": scored.blend, "still_error": scored.still_error}
        return Scored(scored.psnr, columns, f"; gain: {gains}; still {scored.still_error:.2f}/255")
    found = []
    for number, case in enumerate(cases):
        batch = case.to(device)
        if isinstance(form, MotionForm):
            found.append(-10 * math.log10(max(float(form.at(batch, 0.5).total), 1e-12)))
        elif isinstance(form, DenoisingForm):
            found.append(-float(form(_padded(batch), torch.Generator().manual_seed(number)).total))
        elif isinstance(form, AutoEncoderForm):
            whole = _padded(batch)
            made = form.reconstruct(whole)[1]
            found.append(psnr((made + 1) / 2, whole.truth))
        else:
            found.append(psnr(predicted(form.network, batch), batch.truth))
    form.train()
    return Scored(sum(found) / len(found) if found else float("nan"))


def _padded(batch: Batch) -> Batch:
    """Crop images to the largest multiples of 256, or pad smaller ones."""
    height, width = batch.first.shape[-2:]
    images = []
    for image in (batch.first, batch.second, batch.truth):
        image = image[..., : max(256, height // 256 * 256), : max(256, width // 256 * 256)]
        right, bottom = max(0, 256 - image.shape[-1]), max(0, 256 - image.shape[-2])
        images.append(functional.pad(image, (0, right, 0, bottom), mode="replicate"))
    return Batch(images[0], images[1], images[2], batch.t)


def blended(cases: list[Batch]) -> float:
    """Return the mean PSNR of frame blending."""
    values = [psnr(torch.lerp(case.first, case.second, case.t.view(-1, 1, 1, 1)), case.truth) for case in cases]
    return sum(values) / len(values) if values else float("nan")
