"""LPIPS, version 0.1, with gradients: AlexNet (GIMM-VFI) or VGG-16 (LDMVFI).

The original's dropout makes the loss noisy with the same mean; it is off by default. Weights are files that the user
names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.metrics.lpips import LpipsNetwork

_CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions of VGG-16's five blocks."""

PUBLISHED_DROPOUT = 0.5
"""Of LDMVFI's LPIPS, which its training program puts in training mode by accident."""

_WIDTHS = (64, 128, 256, 512, 512)


class VggNetwork(LpipsNetwork):
    """The features of VGG-16 after the last activation of each block, and a weight for each of their channels.

    Args:
        dropout: share of the differences that is left out at random.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        layers: list[nn.Module] = []
        inputs = 3
        for block, (count, width) in enumerate(zip(_CONVOLUTIONS, _WIDTHS, strict=True)):
            if block:
                layers.append(nn.MaxPool2d(2, 2))
            for _ in range(count):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
        self.features = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in _WIDTHS)
        self._compared = (3, 8, 15, 22, 29)

    def forward(self, prediction: Tensor, truth: Tensor) -> list[Tensor]:
        batch = prediction.shape[0]
        image = (2 * torch.cat((prediction, truth)) - 1 - self.shift) / self.scale
        maps: list[Tensor] = []
        for index, layer in enumerate(self.features):
            image = layer(image)
            if index in self._compared:
                normal = image / (image.square().sum(1, keepdim=True).sqrt() + 1e-10)
                apart = functional.dropout((normal[:batch] - normal[batch:]).square(), self.dropout)
                maps.append(self.heads[len(maps)](apart)[:, 0])
        return maps


class Perceptual(nn.Module):
    """LPIPS of images in [0, 1] as a loss; its weights are constant.

    Args:
        kind: of the features.
        dropout: of VGG-16's differences.
    """

    def __init__(self, kind: Literal["alex", "vgg"], dropout: float = 0.0) -> None:
        super().__init__()
        self.network = VggNetwork(dropout) if kind == "vgg" else LpipsNetwork()
        self.requires_grad_(False)

    def forward(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """Return the distance of every sample, [B]."""
        return torch.stack([distances.mean((1, 2)) for distances in self.network(prediction, truth)]).sum(0)

    def load(self, features: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> None:
        """Load torchvision's features (`features.I.weight` ...) and the channel weights (`linK.model.1.weight`)."""
        state = {key: value for key, value in features.items() if key.startswith("features.")}
        state |= {f"heads.{index}.weight": heads[f"lin{index}.model.1.weight"] for index in range(5)}
        self.network.load_state_dict(state)


def perceptual(
    kind: Literal["alex", "vgg"], backbone: Path | None, heads: Path | None, dropout: float = 0.0
) -> Perceptual:
    """Build the loss from files.

    Raises:
        ValueError: a file is not named or missing.
    """
    names = {"alex": "torchvision's AlexNet", "vgg": "torchvision's VGG-16"}
    for option, path, what in (
        ("--lpips-backbone", backbone, f"{names[kind]} (its published .pth file)"),
        ("--lpips-heads", heads, f"the weights of LPIPS 0.1 for it ({kind}.pth)"),
    ):
        if path is None or not path.is_file():
            without = " or use --perceptual none" if kind == "alex" else ""
            raise ValueError(f"train: {option}={path}, this recipe needs {what}; name the file{without}")
    assert backbone is not None
    assert heads is not None
    loss = Perceptual(kind, dropout)
    loss.load(*(torch.load(path, map_location="cpu", weights_only=True) for path in (backbone, heads)))
    return loss
