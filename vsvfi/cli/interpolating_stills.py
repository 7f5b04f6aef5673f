"""Apply a model to images of 8 and 16 bits, grey, in colour and with transparency."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsvfi.engine.model import Model, load_model
from vsvfi.engine.pair import OpenedPair
from vsvfi.errors import ArgumentError
from vsvfi.media.stills import Still
from vsvfi.options import Options


class StillInterpolator:
    """Opens pairs of images with one model.

    Args:
        chosen: the model and how to run it.
    """

    def __init__(self, chosen: Options) -> None:
        self._model = load_model(
            chosen.model,
            chosen.weights,
            chosen.devices[0],
            chosen.precision,
            chosen.scale,
            chosen.options,
            tile=chosen.tile,
        )

    def open(self, first: Still, second: Still) -> StillPair:
        """Open two images of equal size; frames get the larger bit depth of the two."""
        return StillPair(self._model, first, second)


class StillPair:
    """Two images, opened for any number of frames between them."""

    def __init__(self, model: Model, first: Still, second: Still) -> None:
        self._model = model
        self._deep = max(first.bits, second.bits) == 16
        self._grey = first.grey and second.grey
        self._colour = model.open(_image(first.colour), _image(second.colour))
        coverage = [_coverage(first), _coverage(second)]
        self._alpha: OpenedPair | NDArray[Any] | None = None
        if first.alpha is not None or second.alpha is not None:
            still = torch.equal(*coverage)
            self._alpha = _codes(coverage[0], deep=self._deep)[..., 0] if still else model.open(*coverage)

    def frame(self, t: Fraction) -> Still:
        """The frame at t in (0, 1)."""
        colour = _codes(self._colour.frame(t), deep=self._deep, grey=self._grey)
        alpha = self._alpha
        if isinstance(alpha, OpenedPair):
            alpha = _codes(alpha.frame(t), deep=self._deep, grey=True)[..., 0]
        return Still(colour, alpha, self._grey)

    def flow(self, t: Fraction) -> dict[str, NDArray[np.float32]]:
        """Return the flows by name, [2, H, W] each.

        Raises:
            ArgumentError: the model estimates none.
        """
        found = self._colour.flow(t)
        if not found:
            raise ArgumentError("flow", True, f"{self._model.name} does not estimate flow", "leave it out")
        return {name: flow[0].float().cpu().numpy() for name, flow in found.items()}


def _image(pixels: NDArray[Any]) -> Tensor:
    """[H, W, 3] codes as [1, 3, H, W] in [0, 1]."""
    peak = np.float32(np.iinfo(pixels.dtype).max)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / peak)[None]


def _coverage(still: Still) -> Tensor:
    """Return transparency as a grey image; an image without it is opaque."""
    if still.alpha is None:
        return torch.ones(1, 3, *still.colour.shape[:2], dtype=torch.float32, device="cpu")
    return _image(np.repeat(still.alpha[..., None], 3, -1))


def _codes(image: Tensor, *, deep: bool, grey: bool = False) -> NDArray[Any]:
    """[1, 3, H, W] in [0, 1] as codes [H, W, 3], rounded to nearest; the channels of a grey one are their mean."""
    values = image[0].float().cpu().clamp(0, 1)
    if grey:
        values = values.mean(0, keepdim=True).expand(3, -1, -1)
    peak, kind = (65535, np.uint16) if deep else (255, np.uint8)
    return np.ascontiguousarray((values * peak).round().permute(1, 2, 0).numpy().astype(kind))
