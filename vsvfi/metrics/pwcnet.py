"""PWC-Net (Sun et al., 2018) as FloLPIPS uses it: optical flow by pyramid, warping and cost volume."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.metrics.weights import PWCNET, Weights, filled, shapes
from vsvfi.ops.correlation import local_correlation

_WIDTHS = (16, 32, 64, 96, 128, 196)
_STAGES = ("netOne", "netTwo", "netThr", "netFou", "netFiv", "netSix")
_GROWTH = (128, 128, 96, 64, 32)
_REACH = 4
_VOLUME = (2 * _REACH + 1) ** 2
_MULTIPLE = 64
_FLOW_SCALE = 20.0
"""Full-size pixels per unit of the network's flow."""

type Features = list[Tensor]
"""Feature maps of the six stages, each half the size of the previous one."""


class PwcNet(nn.Module):
    """Flow between images; attribute names are the published keys, with "net" for "module"."""

    def __init__(self) -> None:
        super().__init__()
        self.netExtractor = _Extractor()
        before = None
        for stage in (6, 5, 4, 3, 2):
            decoder = _Decoder(stage, before)
            before = decoder.features
            self.add_module(_STAGES[stage - 1], decoder)
        assert before is not None
        self.netRefiner = _Refiner(before)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute the flow [B, 2, H, W] in pixels from the first images to the second.

        Images are RGB [B, 3, H, W] in [0, 1].
        """
        return self.flow(self.encode(first), self.encode(second), first.shape[-2], first.shape[-1])

    def encode(self, image: Tensor) -> Features:
        """Encode an image for `flow`, resized to a multiple of the pyramid's stride."""
        found: Features = self.netExtractor(functional.interpolate(image, _padded(image), mode="bilinear"))
        return found

    def flow(self, first: Features, second: Features, height: int, width: int) -> Tensor:
        """Compute the flow [B, 2, H, W] in pixels between encoded images of this size."""
        state: tuple[Tensor, Tensor] | None = None
        for stage in (6, 5, 4, 3, 2):
            state = getattr(self, _STAGES[stage - 1])(first[stage - 1], second[stage - 1], state)
        assert state is not None
        coarse, features = state
        fine = _FLOW_SCALE * (coarse + self.netRefiner(features))
        rows, columns = (size * 4 for size in fine.shape[-2:])
        resized = functional.interpolate(fine, (height, width), mode="bilinear")
        return resized * resized.new_tensor((width / columns, height / rows)).view(1, 2, 1, 1)


class _Extractor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name, (before, width) in zip(_STAGES, pairwise((3, *_WIDTHS)), strict=True):
            layers = [
                layer for index in range(3) for layer in _convolution(width if index else before, width, not index)
            ]
            self.add_module(name, nn.Sequential(*layers))

    def forward(self, image: Tensor) -> Features:
        found: Features = []
        for name in _STAGES:
            image = getattr(self, name)(image)
            found.append(image)
        return found


class _Decoder(nn.Module):
    """Computes the flow of one stage from that of the coarser one.

    Args:
        stage: 6 (the coarsest) .. 2.
        before: channels from the coarser decoder.
    """

    def __init__(self, stage: int, before: int | None) -> None:
        super().__init__()
        width = _VOLUME
        if before is not None:
            self.netUpflow = nn.ConvTranspose2d(2, 2, 4, 2, 1)
            self.netUpfeat = nn.ConvTranspose2d(before, 2, 4, 2, 1)
            width += _WIDTHS[stage - 1] + 4
        self._pixels = _FLOW_SCALE / 2**stage
        for name, growth in zip(_STAGES, _GROWTH, strict=False):
            self.add_module(name, nn.Sequential(*_convolution(width, growth)))
            width += growth
        self.netSix = nn.Sequential(nn.Conv2d(width, 2, 3, padding=1))
        self.features = width
        """Channels of the second result."""

    def forward(self, first: Tensor, second: Tensor, above: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Return the flow in the network's unit, and the features from which it was computed."""
        if above is None:
            image = _activated(local_correlation(first, second, _REACH))
        else:
            flow, features = self.netUpflow(above[0]), self.netUpfeat(above[1])
            volume = local_correlation(first, _warped(second, flow * self._pixels), _REACH)
            image = torch.cat((_activated(volume), first, flow, features), 1)
        for name in _STAGES[: len(_GROWTH)]:
            image = torch.cat((getattr(self, name)(image), image), 1)
        return self.netSix(image), image


class _Refiner(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, dilation in zip((128, 128, 128, 96, 64, 32), (1, 2, 4, 8, 16, 1), strict=True):
            layers += _convolution(before, width, dilation=dilation)
            before = width
        self.netMain = nn.Sequential(*layers, nn.Conv2d(before, 2, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.netMain(features)
        return found


def pwcnet(weights: Weights | None = None, device: torch.device | str = "cpu") -> PwcNet:
    """Build the network with its published weights, or with those of a file.

    The published ones are downloaded once, after their licence was shown.

    Raises:
        WeightsError: they are not available, or are those of another network.
    """
    network = PwcNet()
    return filled(network, PWCNET.state(weights, shapes(network)), torch.device(device))


def _padded(image: Tensor) -> tuple[int, int]:
    height, width = (-(-size // _MULTIPLE) * _MULTIPLE for size in image.shape[-2:])
    return height, width


def _convolution(before: int, after: int, halved: bool = False, dilation: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, 2 if halved else 1, dilation, dilation)
    return [convolution, nn.LeakyReLU(0.1)]


def _activated(image: Tensor) -> Tensor:
    return functional.leaky_relu(image, 0.1)


def _warped(image: Tensor, flow: Tensor) -> Tensor:
    """Warp `image` by the flow; 0 where any tap is outside.

    The published network scales the flow by W / (W - 1) and H / (H - 1), which its weights expect.
    """
    batch, _, height, width = image.shape
    axes = []
    for axis, size in enumerate((width, height)):
        centres = torch.arange(size, dtype=torch.float32, device=image.device) + 0.5
        reached = flow[:, axis] * (size / (size - 1)) + (centres if axis == 0 else centres[:, None])
        axes.append(reached * (2 / size) - 1)
    ones = image.new_ones(batch, 1, height, width)
    grid = torch.stack(axes, -1)
    sampled = functional.grid_sample(torch.cat((image, ones), 1), grid, align_corners=False)
    return sampled[:, :-1] * (sampled[:, -1:] > 0.999)
