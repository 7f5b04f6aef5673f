"""Score predictions against the true frame."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vsvfi.compare.session import Scores
from vsvfi.compare.source import Image
from vsvfi.engine.device import resolve_device
from vsvfi.metrics import psnr, ssim
from vsvfi.metrics.lpips import Lpips
from vsvfi.metrics.weights import OF_METRICS
from vsvfi.weights.fetch import installed

HIGHEST = 100.0
"""PSNR of equal images, so that a mean stays finite."""

_TILES, _TILE = 3, 256
"""Tiles along each axis of a large image, and pixels of their sides."""

_SMALLEST, _SMALLEST_LPIPS = 11, 31
"""Least side in pixels for SSIM and LPIPS."""


def scores(width: int, height: int, device: str = "cpu") -> Scores:
    """Return the available scores for images of this size; LPIPS only if its weights are installed.

    Args:
        width, height: of the images.
        device: runs the network of LPIPS.
    """
    found: dict[str, Callable[[Image, Image], float]] = {"psnr": _psnr}
    if min(width, height) >= _SMALLEST:
        found["ssim"] = _ssim
    if min(width, height) >= _SMALLEST_LPIPS and all(installed(network.sources) for network in OF_METRICS["lpips"]):
        found["lpips"] = _lpips(device)
    return found


def _lpips(device: str) -> Callable[[Image, Image], float]:
    network = Lpips(device=resolve_device(device))
    return lambda prediction, truth: float(network(torch.from_numpy(prediction), torch.from_numpy(truth)))


def _psnr(prediction: Image, truth: Image) -> float:
    return min(float(psnr(torch.from_numpy(prediction), torch.from_numpy(truth))), HIGHEST)


def _ssim(prediction: Image, truth: Image) -> float:
    return float(ssim(tiles(prediction), tiles(truth)).mean())


def tiles(image: Image) -> torch.Tensor:
    """Return tiles [N, 3, h, w] that represent a large image, whose full SSIM would take longer than a model."""
    tensor = torch.from_numpy(image)
    height, width = image.shape[1:]
    if height * width <= (_TILES * _TILE) ** 2:
        return tensor[None]
    rows, columns = (
        [round(index * max(length - _TILE, 0) / (_TILES - 1)) for index in range(_TILES)] for length in (height, width)
    )
    return torch.stack([tensor[:, y : y + _TILE, x : x + _TILE] for y in rows for x in columns])
