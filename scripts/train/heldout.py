"""Score a network on scenes that training never sees.

They are `vsvfi.synthetic.scene` with fixed seeds, drawn by other code than the training samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vsvfi import metrics
from vsvfi.engine.build import AnyInterpolator
from vsvfi.synthetic import scene

FIRST_SEED = 900_000
SIZE = (256, 144)
"""Width and height of the images."""
_PADDING = tuple(side for size in SIZE for side in (0, -size % 64))
"""Padding at the right and the bottom, to sizes that every architecture accepts."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case: first, second and truth [1, 3, H, W], t."""

    name: str
    first: Tensor
    second: Tensor
    truth: Tensor
    t: float


@cache
def cases(count: int = 4, size: tuple[int, int] = SIZE) -> tuple[Case, ...]:
    """Return `count` pairs of each kind of scene, and one pair without any motion.

    The timesteps are 1/2, 1/4, 1/2, 3/4 ... in turn.
    """
    found = []
    for kind in ("mixed", "textured", "flat", "pan"):
        for index in range(count):
            shown = scene(FIRST_SEED + index, *size, kind=kind)
            t = (0.5, 0.25, 0.5, 0.75)[index % 4]
            first, truth, second = (
                torch.from_numpy(np.ascontiguousarray(shown.frame(time)))[None] for time in (3.0, 3.0 + t, 4.0)
            )
            found.append(Case(kind, first, second, truth, t))
    still = scene(FIRST_SEED, *size, kind="textured").frame(3.0)
    image = torch.from_numpy(still)[None]
    found.append(Case("still", image, image, image, 0.5))
    return tuple(found)


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal to noise ratio in decibels of one image [1, 3, H, W] in [0, 1]; at most 99."""
    return min(99.0, float(metrics.psnr(image, truth)))


@dataclass(frozen=True, slots=True)
class Score:
    """Mean PSNR in decibels over the moving cases, and the largest error of the still pair.

    `psnr` and `by_kind` are of the network, `blend` is of frame blending; `still_error` is in 1/255.
    """

    psnr: float
    blend: float
    by_kind: dict[str, float]
    still_error: float


@torch.no_grad()
def score(network: AnyInterpolator, count: int = 4) -> Score:
    """Score a network in evaluation mode on the held-out scenes."""
    results: dict[str, list[tuple[float, float]]] = {}
    still_error = 0.0
    device = next(network.parameters()).device
    for case in cases(count):
        times = torch.tensor([case.t], device=device)
        first, second = (functional.pad(image.to(device), _PADDING, value=0.5) for image in (case.first, case.second))
        image = network(first, second, times)[..., : SIZE[1], : SIZE[0]].cpu()
        if case.name == "still":
            still_error = float((image - case.truth).abs().max()) * 255
            continue
        blend = case.first * (1 - case.t) + case.second * case.t
        results.setdefault(case.name, []).append((psnr(image, case.truth), psnr(blend, case.truth)))
    pairs = [pair for kind in results.values() for pair in kind]
    mean = [sum(values) / len(pairs) for values in zip(*pairs, strict=True)]
    gains = {kind: sum(a - b for a, b in values) / len(values) for kind, values in results.items()}
    return Score(mean[0], mean[1], gains, still_error)
