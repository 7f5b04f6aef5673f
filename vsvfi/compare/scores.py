"""How near a prediction is to the true frame."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vsvfi.compare.session import Scores
from vsvfi.compare.source import Picture
from vsvfi.metrics import psnr, ssim

HIGHEST = 100.0
"""PSNR of equal pictures, so that a mean stays finite."""

_TILES, _TILE = 3, 256
"""Tiles along each axis of a large picture, and pixels of their sides."""

_SMALLEST = 11
"""Pixels of a side that SSIM needs."""


def scores(width: int, height: int) -> Scores:
    """The scores that can be computed here for pictures of this size."""
    found: dict[str, Callable[[Picture, Picture], float]] = {"psnr": _psnr}
    if min(width, height) >= _SMALLEST:
        found["ssim"] = _ssim
    return found


def _psnr(prediction: Picture, truth: Picture) -> float:
    return min(float(psnr(torch.from_numpy(prediction), torch.from_numpy(truth))), HIGHEST)


def _ssim(prediction: Picture, truth: Picture) -> float:
    return float(ssim(tiles(prediction), tiles(truth)).mean())


def tiles(picture: Picture) -> torch.Tensor:
    """Parts [N, 3, h, w] of a picture that stand for all of it: SSIM of a whole large one takes longer than a model."""
    image = torch.from_numpy(picture)
    height, width = image.shape[1:]
    if height * width <= (_TILES * _TILE) ** 2:
        return image[None]
    rows, columns = (
        [round(index * max(length - _TILE, 0) / (_TILES - 1)) for index in range(_TILES)] for length in (height, width)
    )
    return torch.stack([image[:, y : y + _TILE, x : x + _TILE] for y in rows for x in columns])
