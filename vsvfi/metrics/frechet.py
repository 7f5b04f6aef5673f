"""Frechet distance of two sets of features, and FID, which uses InceptionV3's."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vsvfi.engine.device import inference
from vsvfi.errors import ArgumentError
from vsvfi.metrics.images import to_double, to_levels
from vsvfi.metrics.weights import INCEPTION, Weights
from vsvfi.weights.load import load_state

MISSING = "torch-fidelity is not installed (extra `fid`)"


def frechet_distance(features: Tensor, others: Tensor) -> float:
    """Return the squared Frechet distance of two normal distributions fitted to features.

    Args:
        features: [samples, features] of one set, two samples or more.
        others: [samples, features] of the other.

    Raises:
        ArgumentError: a set has fewer than two samples, or their numbers of features differ.
    """
    found = []
    for name, given in (("features", features), ("others", others)):
        shape = tuple(given.shape)
        if len(shape) != 2 or shape[0] < 2 or shape[1] != features.shape[-1]:
            rule = f"must be [2 or more samples, {features.shape[-1]} features]"
            raise ArgumentError(name, shape, rule, "pass the features of at least two images of each set")
        values = to_double(given)
        mean = values.mean(0)
        # The trace of the root of a product of covariances R'R is a sum of singular values, so only R is needed.
        root = torch.linalg.qr((values - mean) / (len(values) - 1) ** 0.5, mode="r").R
        found.append((mean, root))
    (mean, root), (other_mean, other_root) = found
    shared = torch.linalg.svdvals(root @ other_root.mT).sum()
    return float((mean - other_mean).square().sum() + root.square().sum() + other_root.square().sum() - 2 * shared)


class Inception:
    """InceptionV3 of 2015 by torch-fidelity, which resizes to 299x299 inside.

    Args:
        weights: torch-fidelity's file; None downloads it (91 MiB) after its licence was shown.
        device: runs the network.

    Raises:
        ImportError: torch-fidelity is not installed.
        WeightsError: weights are not available, or are damaged.
    """

    def __init__(self, weights: Weights | None = None, device: torch.device | str = "cpu") -> None:
        try:
            module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
        except ImportError as error:
            raise ImportError(MISSING) from error
        state = load_state(INCEPTION.path() if weights is None else weights)
        with tempfile.TemporaryDirectory(prefix="vsvfi-inception-") as folder:
            # The library unpickles any object, so it gets a copy that holds only tensors.
            copy = Path(folder) / "inception.pth"
            torch.save(state, copy)
            network = module.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(copy)
            )
        self.device = torch.device(device)
        self._network: Any = network.to(self.device)

    def features(self, images: Iterable[Tensor]) -> Tensor:
        """Compute features [N, 2048] of images [3, H, W], floating point in [0, 1] (rounded to 8 bits) or uint8."""
        found: list[Tensor] = []
        with inference(self.device):
            for image in images:
                levels = to_levels(image).to(torch.uint8)[None]
                found.append(self._network(levels.to(self.device))[0].cpu())
        return torch.cat(found) if found else torch.zeros(0, 2048, dtype=torch.float32, device="cpu")


def fid(predictions: Iterable[Tensor], truths: Iterable[Tensor], inception: Inception) -> float:
    """Frechet inception distance of two sets of images: lower is better; comparable only for equal counts.

    Raises:
        ArgumentError: a set has fewer than two images.
    """
    return frechet_distance(inception.features(predictions), inception.features(truths))
