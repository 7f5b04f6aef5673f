"""The noise schedule of the diffusion, and its DDIM sampler (Song et al., arXiv 2010.02502).

Schedules are computed in float64 and rounded to the float32 values that the weights were trained with; latents are
updated in float32 whatever the type of the network.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

TRAINED_STEPS = 1000
FIRST_BETA, LAST_BETA = 0.0015, 0.0195

type Denoiser = Callable[[Tensor, int], Tensor]
"""Latents [B, 3, h, w] and the index of the evaluation, in the order they run -> the noise in the latents."""


@dataclass(frozen=True, slots=True)
class Step:
    """One update: x0 = (x - noise_share * eps) / signal; x = next_signal * x0 + next_noise * eps + fresh * n."""

    t: int  # the training step
    signal: float
    noise_share: float
    next_signal: float
    next_noise: float
    fresh: float


def kept_signal() -> np.ndarray:
    """Return the share of the signal's power that remains after each training step, float32 [1000]."""
    roots = np.linspace(math.sqrt(FIRST_BETA), math.sqrt(LAST_BETA), TRAINED_STEPS)
    return np.cumprod(1 - roots**2).astype(np.float32)


def timesteps(steps: int) -> list[int]:
    """Return the training steps that a sampler of `steps` visits, in ascending order.

    Every floor(1000 / steps)-th from 1, which can be a few more than requested. For some numbers the last one would be
    1000, which the schedule lacks; 999 takes its place.
    """
    return [min(step + 1, TRAINED_STEPS - 1) for step in range(0, TRAINED_STEPS, TRAINED_STEPS // steps)]


def schedule(steps: int, eta: float) -> list[Step]:
    """Return the updates in the order they run, starting at the noisiest latent.

    Args:
        steps: the requested number; see `timesteps`.
        eta: 0 for the deterministic sampler, 1 for as much fresh noise as the diffusion process has.
    """
    kept = kept_signal()
    visited = timesteps(steps)
    found = []
    for t, following in reversed(list(zip(visited, (0, *visited)))):
        now, then = kept[t], kept[following]  # the last step ends at the first training step, not at a clean latent
        fresh = np.float32(eta * math.sqrt((1 - float(then)) / (1 - float(now)) * (1 - float(now) / float(then))))
        left = max(1 - then - fresh * fresh, np.float32(0))
        signal, noise_share, next_signal, next_noise = (float(np.sqrt(power)) for power in (now, 1 - now, then, left))
        found.append(Step(t, signal, noise_share, next_signal, next_noise, float(fresh)))
    return found


def ddim(updates: Sequence[Step], denoise: Denoiser, x: Tensor, noises: Tensor | None) -> Tensor:
    """Sample latents from their starting noise.

    Args:
        updates: see `schedule`.
        denoise: predicts the noise, given the condition.
        x: starting noise, [B, 3, h, w] float32.
        noises: fresh noise for every update, [updates, B, 3, h, w]; None if no update adds noise.
    """
    for index, update in enumerate(updates):
        noise = denoise(x, index).float()
        x0 = (x - update.noise_share * noise) / update.signal
        x = update.next_signal * x0 + update.next_noise * noise
        if noises is not None and update.fresh:
            x = x + update.fresh * noises[index]
    return x


def drawn(seed: int, position: Fraction, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Draw normal noise for a position on the source axis.

    It depends only on the seed, the position and the shapes, not on earlier draws. Drawn on the CPU, so that all
    devices start from the same noise.
    """
    digest = hashlib.sha256(f"{seed}/{position.numerator}/{position.denominator}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))
    return [torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu") for shape in shapes]
