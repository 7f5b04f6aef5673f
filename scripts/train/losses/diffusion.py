"""The noise loss of LDMVFI's U-Net."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 1000


def signal_shares() -> Tensor:
    """Return alpha-bar of every step, [1000] float64."""
    betas = torch.linspace(0.0015**0.5, 0.0195**0.5, STEPS, dtype=torch.float64, device="cpu").square()
    return torch.cumprod(1 - betas, 0)


def noised(latent: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
    """Return x_t of latents [B, C, h, w] at steps [B]."""
    shares = signal_shares().to(steps.device)[steps].view(-1, 1, 1, 1)
    return shares.sqrt().to(latent.dtype) * latent + (1 - shares).sqrt().to(latent.dtype) * noise


def noise_loss(answer: Tensor, noise: Tensor) -> Tensor:
    """Return the mean square error per sample, averaged over the samples."""
    return (answer - noise).square().mean((1, 2, 3)).mean()
