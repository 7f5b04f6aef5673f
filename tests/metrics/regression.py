"""Results of vsvfi on images computed by a formula, for clones without the reference data.

`python -m tests.metrics.regression` rewrites the file; run it only after the goldens were matched.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.metrics.goldens import drawn, drawn_lpips
from vsvfi.metrics import (
    PSNR_FORMS,
    SSIM_FORMS,
    FloLpips,
    Lpips,
    end_point_error,
    frechet_distance,
    interpolation_error,
    motion_error,
    motion_psnr,
    motion_scale,
    psnr,
    ssim,
)
from vsvfi.metrics.pwcnet import PwcNet

FILE = Path(__file__).with_name("regression.json")


def wave(phase: float, channels: int = 3, height: int = 40, width: int = 56) -> Tensor:
    """An image [C, H, W] float32 in [0, 1] that moves with its phase."""
    y, x, c = (
        torch.arange(count, dtype=torch.float64).reshape(shape)
        for count, shape in ((height, (1, -1, 1)), (width, (1, 1, -1)), (channels, (-1, 1, 1)))
    )
    mixed = torch.sin(0.31 * x + 0.13 * y + phase) * torch.cos(0.17 * y - 0.07 * x + 0.9 * c - phase)
    return (0.5 + 0.4 * mixed).float()


def measured() -> dict[str, float]:
    """Every metric once or twice, by name."""
    truth, first, second = wave(0.0), wave(-0.3), wave(0.3)
    blend = (first + second) / 2
    found: dict[str, Tensor | float] = {f"psnr {form}": psnr(blend, truth, form) for form in PSNR_FORMS}
    found |= {f"ssim {form}": ssim(blend, truth, form) for form in SSIM_FORMS}
    found |= {"ie": interpolation_error(blend, truth), "ie rms": interpolation_error(blend, truth, rms=True)}
    found["ssim of one channel"] = ssim(blend[:1], truth[:1])
    lpips = Lpips(*drawn_lpips())
    flolpips = FloLpips(lpips, drawn(PwcNet(), 0.7))
    found["lpips"] = lpips(blend, truth)
    found["flolpips"] = flolpips(blend, truth, first, second)
    found["longest flow"] = flolpips.flow(first[None], second[None]).square().sum(1).sqrt().max()
    flow, true = 8 * wave(0.1, 2), 8 * wave(0.2, 2)
    scale = motion_scale(flow, true)
    found |= {"epe": end_point_error(flow, true), "scale": scale}
    output = (flow / scale.float() + 1) / 2
    found |= {"motion psnr": motion_psnr(output, true, scale), "motion epe": motion_error(output, true, scale)}
    found["frechet"] = frechet_distance(wave(0.0, 1, 30, 7)[0], wave(0.4, 1, 20, 7)[0])
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
