"""The convolutional parts of RIFE: the head (features of one frame) and the blocks that refine the flow.

Attribute names are the published keys.

`fold` merges residual factors and skips into the weights and drops unused outputs once; without it this happens in
every call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.activated import Activated, leaky_convolution
from vsvfi.models.blocks.constants import Constants
from vsvfi.models.blocks.prelu import PReLU
from vsvfi.models.rife.spec import Residual

SLOPE = 0.2
_CONVOLUTIONS = 8


def leaky_relu(x: Tensor) -> Tensor:
    """Apply a leaky ReLU, in place unless gradients need the old values."""
    return functional.leaky_relu(x, SLOPE, inplace=not torch.is_grad_enabled())


class Head(nn.Module):
    """Features of one frame at full size, for versions 4.10 and later.

    Three convolutions, the first with stride 2, and a transposed convolution without activation.
    """

    def __init__(self, hidden: int, outputs: int) -> None:
        super().__init__()
        self._constants = Constants(self)
        self.cnn0 = nn.Conv2d(3, hidden, 3, 2, 1)
        self.cnn1 = nn.Conv2d(hidden, hidden, 3, 1, 1)
        self.cnn2 = nn.Conv2d(hidden, hidden, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(hidden, outputs, 4, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, outputs, H, W]."""
        x = leaky_convolution(image, self.cnn0.weight, self.cnn0.bias, SLOPE, self._constants, stride=2)
        for layer in (self.cnn1, self.cnn2):
            x = leaky_convolution(x, layer.weight, layer.bias, SLOPE, self._constants)
        features: Tensor = self.cnn3(x)
        return features


def plain_head(hidden: int, outputs: int) -> nn.Sequential:
    """The head of 4.7 to 4.9: two convolutions without any activation."""
    return nn.Sequential(nn.Conv2d(3, hidden, 3, 2, 1), nn.ConvTranspose2d(hidden, outputs, 4, 2, 1))


class ScaledConv(nn.Module):
    """A convolution, one factor per channel and a skip: beta * C(x) + x, activated afterwards."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones((1, channels, 1, 1), dtype=torch.float32, device="cpu"))
        self.conv = nn.Conv2d(channels, channels, 3, 1, 1, groups=groups)

    def combined(self) -> tuple[Tensor, Tensor, bool]:
        """Return weight and bias with the factor merged in, and whether the skip is merged too.

        The skip is not merged in half precision: beside an added one, small weights would lose most of their digits.
        """
        assert self.conv.bias is not None
        weight, bias = self.conv.weight * self.beta.reshape(-1, 1, 1, 1), self.conv.bias * self.beta.flatten()
        if weight.dtype != torch.float32:
            return weight, bias, False
        outputs, inputs = weight.shape[:2]
        identity = torch.zeros_like(weight)
        channels = torch.arange(outputs, dtype=torch.int64, device=weight.device)
        identity[channels, channels % inputs, 1, 1] = 1  # group g sees inputs g * inputs and on
        return (weight + identity).contiguous(memory_format=torch.channels_last), bias, True


@dataclass(frozen=True, slots=True)
class Folded:
    """The convolutions of a block with factors and skips merged and unused outputs dropped."""

    first: Tensor  # weight of the first convolution, input channels in the order of `IFNet`
    # Weight, bias, whether the skip is in them; of scaled convolutions
    residuals: tuple[tuple[Tensor, Tensor, bool], ...]
    last: tuple[Tensor, Tensor]  # weight and bias of the transposed convolution, without unused outputs


class Block(nn.Module):
    """Two convolutions of stride 2, eight at that size, and a transposed one.

    All but the oldest versions end in a pixel shuffle.

    Args:
        inputs: channels of the input.
        width: channels inside.
        outputs: of the transposed convolution, as published.
        used: channels of the result that are read.
        residual: what the eight convolutions are.
        groups: of the eight convolutions.
        order: published number of each input channel, in the order in which they arrive here.
    """

    def __init__(
        self, inputs: int, width: int, outputs: int, used: int, residual: Residual, groups: int, order: Sequence[int]
    ) -> None:
        super().__init__()
        self.used = used
        self.order = list(order)
        self.groups = groups
        self._constants = Constants(self)
        self.prelu = residual == "prelu"
        self.shuffles = outputs > 5
        self.conv0 = nn.Sequential(self._convolution(inputs, width // 2, 2), self._convolution(width // 2, width, 2))
        if residual == "scaled":
            self.convblock = nn.Sequential(*(ScaledConv(width, groups) for _ in range(_CONVOLUTIONS)))
        else:
            self.convblock = nn.Sequential(*(self._convolution(width, width, 1) for _ in range(_CONVOLUTIONS)))
        last = nn.ConvTranspose2d(width, outputs, 4, 2, 1)
        self.lastconv = nn.Sequential(last) if self.shuffles else last
        self._folded: Folded | None = None

        self.register_load_state_dict_post_hook(lambda block, keys: block._unfold())  # type: ignore[no-untyped-call]

    def _unfold(self) -> None:
        self._folded = None

    def _apply(self, *arguments: Any, **named: Any) -> Block:
        """Drop the folded weights, which a change of device or type makes invalid."""
        self._unfold()
        super()._apply(*arguments, **named)  # type: ignore[no-untyped-call]
        return self

    def _convolution(self, inputs: int, outputs: int, stride: int) -> nn.Sequential:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, 1)
        return Activated(convolution, PReLU(outputs)) if self.prelu else nn.Sequential(convolution)

    def fold(self) -> None:
        """Fold the weights once; valid as long as they do not change."""
        self._folded = self.folded()

    def folded(self) -> Folded:
        """Return the folded weights, which are recomputed unless `fold` was called."""
        if self._folded is not None:
            return self._folded
        first = self.get_submodule("conv0.0.0")
        last = self.get_submodule("lastconv.0") if self.shuffles else self.lastconv
        assert isinstance(first, nn.Conv2d)
        assert isinstance(last, nn.ConvTranspose2d)
        assert last.bias is not None
        kept = self.used * 4 if self.shuffles else self.used
        layers = tuple(layer.combined() for layer in self.convblock if isinstance(layer, ScaledConv))
        weight = first.weight[:, self.order].contiguous(memory_format=torch.channels_last)
        # Else it is reordered in every call
        transposed = last.weight[:, :kept].contiguous(memory_format=torch.channels_last)
        return Folded(weight, layers, (transposed, last.bias[:kept].contiguous()))

    def forward(self, x: Tensor) -> Tensor:
        """Map the input [B, inputs, h, w] to [B, used, h, w] (half that size without a pixel shuffle)."""
        folded = self.folded()
        x = self._entered(x, folded)
        refined = self._refined(x, folded)
        x = x + refined if self.prelu else refined
        weight, bias = folded.last
        x = functional.conv_transpose2d(x, weight, bias, 2, 1)
        return functional.pixel_shuffle(x, 2) if self.shuffles else x

    def _refined(self, x: Tensor, folded: Folded) -> Tensor:
        """Apply the eight middle convolutions."""
        if self.prelu:
            refined: Tensor = self.convblock(x)
            return refined
        for weight, bias, skip in folded.residuals:
            if skip:
                x = leaky_convolution(x, weight, bias, SLOPE, self._constants, groups=self.groups)
            else:
                x = leaky_relu(functional.conv2d(x, weight, bias, 1, 1, groups=self.groups) + x)
        if not folded.residuals:
            for layer in self.convblock:
                x = leaky_relu(layer(x))
        return x

    def _entered(self, x: Tensor, folded: Folded) -> Tensor:
        """Apply the two convolutions that halve the size, each with its activation."""
        first, second = self.get_submodule("conv0.0.0"), self.get_submodule("conv0.1.0")
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.Conv2d)
        if self.prelu:
            x = self.get_submodule("conv0.0.1")(functional.conv2d(x, folded.first, first.bias, 2, 1))
            entered: Tensor = self.get_submodule("conv0.1")(x)
            return entered
        x = leaky_convolution(x, folded.first, first.bias, SLOPE, self._constants, stride=2)
        return leaky_convolution(x, second.weight, second.bias, SLOPE, self._constants, stride=2)
