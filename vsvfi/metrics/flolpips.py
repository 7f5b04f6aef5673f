"""FloLPIPS (Danier et al., 2022): LPIPS weighted by the error of the motion to the neighbouring frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.engine.device import inference
from vsvfi.metrics.images import check
from vsvfi.metrics.lpips import Lpips, rgb
from vsvfi.metrics.pwcnet import pwcnet
from vsvfi.metrics.weights import Weights


class FloLpips:
    """FloLPIPS as LDMVFI's programs compute it: lower is better, 0 for equal images.

    The authors' tool compares videos, with flow to the next frame of the same video, which gives other values.

    Args:
        lpips: the metric that is weighted; flow is computed on its device.
        weights: of PWC-Net, as pytorch-pwc publishes them; None downloads them after their licence was shown.

    Raises:
        WeightsError: weights are not available, or are those of another network.
    """

    def __init__(self, lpips: Lpips, weights: Weights | None = None) -> None:
        self._lpips = lpips
        self._network = pwcnet(weights, lpips.device)

    def __call__(self, prediction: Tensor, truth: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return the distance of a predicted frame from the true one.

        Args:
            prediction: [..., 3, H, W] RGB, floating point in [0, 1] or uint8; rounded to 8 bits.
            truth: the same shape.
            first, second: the frames around it that it was predicted from, of the same shape.

        Returns:
            float64 of the leading axes' shape.

        Raises:
            ArgumentError: shapes or types do not fit.
        """
        for name, neighbour in (("first", first), ("second", second)):
            check(prediction, neighbour, name=name)
        return torch.stack(self.towards(prediction, truth, [first, second])).mean(0)

    def towards(self, prediction: Tensor, truth: Tensor, neighbours: Sequence[Tensor]) -> list[Tensor]:
        """Return the terms whose mean is the distance: one for each neighbour, by the flow to it."""
        maps = self._lpips.maps(prediction, truth)
        scores: list[list[Tensor]] = []
        for index, images in enumerate(zip(*map(_batch, (prediction, truth, *neighbours)), strict=True)):
            made, true, *around = (rgb(image[None], self._lpips.device, rounded=True) for image in images)
            of_image = [distances[index] for distances in maps]
            scores.append([_weighted(of_image, change) for change in self.differences(made, true, around)])
        return [torch.stack(found).reshape(prediction.shape[:-3]) for found in zip(*scores, strict=True)]

    def differences(self, prediction: Tensor, truth: Tensor, neighbours: Sequence[Tensor]) -> list[Tensor]:
        """Return the differences of the flows from prediction and truth to each neighbour.

        They are [1, 2, H, W] in pixels.
        """
        height, width = truth.shape[-2:]
        with inference(self._lpips.device):
            made, true = self._network.encode(prediction), self._network.encode(truth)
            found = []
            for neighbour in neighbours:
                target = self._network.encode(neighbour)
                flows = [self._network.flow(source, target, height, width) for source in (true, made)]
                found.append((flows[0] - flows[1]).cpu())
            return found

    def flow(self, first: Tensor, second: Tensor) -> Tensor:
        """Return PWC-Net's flow [B, 2, H, W] in pixels between RGB images [B, 3, H, W] in [0, 1]."""
        with inference(self._lpips.device):
            found: Tensor = self._network(first.to(self._lpips.device), second.to(self._lpips.device))
            return found.cpu()


def _weighted(maps: list[Tensor], difference: Tensor) -> Tensor:
    """Sum the layers' distances [H, W], weighted by the length of the flow difference."""
    total = torch.zeros((), dtype=torch.float64, device=difference.device)
    for distances in maps:
        resized = functional.interpolate(difference, distances.shape[-2:], mode="bilinear")
        weights = resized.double().square().sum((0, 1)).sqrt()
        whole = weights.sum()
        # Without any difference all positions have equal weight: 0 for equal images.
        total = total + ((distances.double() * weights).sum() / whole if whole > 0 else distances.double().mean())
    return total


def _batch(image: Tensor) -> Tensor:
    return image.reshape(-1, *image.shape[-3:])
