"""Learned perceptual image patch similarity with AlexNet, version 0.1 (Zhang et al., 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vsvfi.engine.device import inference
from vsvfi.metrics.images import at_least_float32, check, to_levels
from vsvfi.metrics.weights import ALEXNET, LPIPS_HEADS, Weights, filled, shapes

_CHANNELS = (64, 192, 384, 256, 256)
_SMALLEST = 31
"""Least side in pixels for the second pooling."""

_EPSILON = 1e-10


class LpipsNetwork(nn.Module):
    """The features of AlexNet after its five activations, and a weight for each of their channels."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        one, two, three, four, five = _CHANNELS
        self.features = nn.Sequential(
            nn.Conv2d(3, one, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(one, two, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(two, three, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(three, four, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(four, five, 3, padding=1),
            nn.ReLU(),
        )
        self.heads = nn.ModuleList(nn.Conv2d(channels, 1, 1, bias=False) for channels in _CHANNELS)
        for name, values in (("shift", (-0.030, -0.088, -0.188)), ("scale", (0.458, 0.448, 0.450))):
            tensor = torch.tensor(values, dtype=torch.float32, device="cpu")
            self.register_buffer(name, tensor.view(1, 3, 1, 1), persistent=False)

    def forward(self, prediction: Tensor, truth: Tensor) -> list[Tensor]:
        """Return the distances at every position of the five layers, [B, H, W] each.

        Images are [B, 3, H, W] in [0, 1].
        """
        batch = prediction.shape[0]
        image = (2 * torch.cat((prediction, truth)) - 1 - self.shift) / self.scale
        maps: list[Tensor] = []
        for layer in self.features:
            image = layer(image)
            if isinstance(layer, nn.ReLU):
                normal = image / (image.square().sum(1, keepdim=True).sqrt() + _EPSILON)
                difference = (normal[:batch] - normal[batch:]).square()
                maps.append(self.heads[len(maps)](difference)[:, 0])
        return maps


class Lpips:
    """LPIPS: lower is better, 0 for equal images.

    Args:
        backbone: AlexNet's weights as torchvision publishes them; None downloads them (233 MiB) at first use.
        heads: the learned weights of its channels, `alex.pth`; None obtains them (6 kB) with pip.
        device: runs the network, in float32.

    Raises:
        WeightsError: weights are not available, or are those of another network.

    Example:
        >>> lpips = Lpips(backbone="alexnet-owt-7be5be79.pth")  # doctest: +SKIP
        >>> float(lpips(prediction, truth))  # doctest: +SKIP
    """

    def __init__(
        self, backbone: Weights | None = None, heads: Weights | None = None, device: torch.device | str = "cpu"
    ) -> None:
        network = LpipsNetwork()
        known = shapes(network)
        features = {key: shape for key, shape in known.items() if key.startswith("features.")}
        published = {f"lin{index}.model.1.weight": (1, channels, 1, 1) for index, channels in enumerate(_CHANNELS)}
        state = ALEXNET.state(backbone, features)
        for index, tensor in enumerate(LPIPS_HEADS.state(heads, published).values()):
            state[f"heads.{index}.weight"] = tensor
        self.device = torch.device(device)
        self._network = filled(network, state, self.device)

    def __call__(self, prediction: Tensor, truth: Tensor, *, rounded: bool = True) -> Tensor:
        """Return the distance of RGB images.

        Args:
            prediction: [..., 3, H, W], floating point in [0, 1] or uint8; 31 pixels or more along each side.
            truth: the same shape.
            rounded: round both to 8 bits first, as the papers do.

        Returns:
            float64 of the leading axes' shape.

        Raises:
            ArgumentError: shapes or types do not fit.
        """
        return torch.stack(self.layers(prediction, truth, rounded=rounded)).sum(0)

    def layers(self, prediction: Tensor, truth: Tensor, *, rounded: bool = True) -> list[Tensor]:
        """Return the five terms whose sum is the distance."""
        maps = self.maps(prediction, truth, rounded=rounded)
        return [distances.double().mean((-2, -1)).reshape(prediction.shape[:-3]) for distances in maps]

    def maps(self, prediction: Tensor, truth: Tensor, *, rounded: bool = True) -> list[Tensor]:
        """Return the distances at every position of the five layers, [B, H, W] each in float32, on the CPU."""
        check(prediction, truth, _SMALLEST, channels=3)
        pair = (rgb(image, self.device, rounded=rounded) for image in (prediction, truth))
        with inference(self.device):
            images = [image.reshape(-1, *image.shape[-3:]) for image in pair]
            return [distances.cpu() for distances in self._network(*images)]


def rgb(image: Tensor, device: torch.device, *, rounded: bool) -> Tensor:
    """Convert an image for a network: float32 in [0, 1] on its device."""
    if rounded or image.dtype is torch.uint8:
        return (to_levels(image).to(torch.float32) / 255).to(device)
    return at_least_float32(image).to(device, torch.float32)
