"""GIMM-VFI's implicit motion model (paper, section 3.2).

Both flows are encoded as latents, which are splatted to timestep t and refined; an implicit network evaluates the flow
from them. Attribute names are the published keys. All of it is float32.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.activated import Activated
from vsvfi.models.blocks.constants import Constants
from vsvfi.models.gimmvfi.strips import stacked, strips
from vsvfi.ops.splat import splat
from vsvfi.ops.warp import backward_warp

SLOPE = 0.1
LATENT = 16
"""Channels of the latent of one flow."""

_LAYERS = (2 * LATENT + 3, 128, 128, 128, 128, 2)
"""Widths of the implicit network, from latent, timestep and position to the flow."""

_ENCODER_REACH, _REFINEMENT_REACH = 9, 4
"""Receptive field in rows above and below, of the encoder, and of the refinement without its last convolution.

The last convolution is never evaluated next to a strip boundary.
"""

_USED = (1, 2)
"""The rows and columns of each 4x4 block that a resize to a quarter reads."""


def conv(inputs: int, outputs: int, kernel: int = 3, *, reflect: bool = False) -> nn.Conv2d:
    """Return a convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect" if reflect else "zeros")


class LateralBlock(nn.Module):
    """x + convolution(LReLU(convolution(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = Activated(conv(channels, channels), nn.LeakyReLU(SLOPE, inplace=True), conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.layers(x)
        return result


def motion_encoder() -> nn.Sequential:
    """Build the encoder from a normalised flow [B, 2, H, W] to its latent [B, 16, H, W]."""
    laterals = (LateralBlock(32) for _ in range(3))
    return Activated(
        conv(2, 16), conv(16, 32), nn.LeakyReLU(SLOPE), *laterals, nn.LeakyReLU(SLOPE), conv(32, LATENT, reflect=True)
    )


def encode_flows(encoder: nn.Sequential, flows: Tensor, budget: int) -> Tensor:
    """Encode normalised flows as latents, in strips if the budget requires it."""
    batch, _, height, width = flows.shape
    cut = strips(height, halo=_ENCODER_REACH, row_bytes=4 * 32 * width * batch * flows.element_size(), budget=budget)
    return stacked(cut, lambda strip: encoder(strip.halo(flows)))


def latent_refinement() -> nn.Sequential:
    """Build the refinement of the splatted latents.

    It maps both latents, unchanged and splatted to t, [B, 64, H, W], to the residual of the splatted ones,
    [B, 32, H, W].
    """
    return nn.Sequential(
        conv(4 * LATENT, 32),
        conv(32, 64),
        nn.LeakyReLU(SLOPE),
        LateralBlock(64),
        nn.LeakyReLU(SLOPE),
        conv(64, 2 * LATENT, reflect=True),
    )


def used_latents(
    refinement: nn.Sequential, latents: Sequence[Tensor], splatted: Sequence[Tensor], budget: int
) -> Tensor:
    """Refine the latents at t at the used pixels only: [B, 4, 32, H/4, W/4], by row and column of `_USED`.

    The last convolution is evaluated at those pixels only. None lies at the border of the image, so its padding does
    not matter.

    Args:
        refinement: from `latent_refinement`.
        latents: of both flows, [B or 1, 16, H, W] each.
        splatted: the same at t, [B, 16, H, W] each.
        budget: maximum bytes of the activations.
    """
    batch, _, height, width = splatted[0].shape
    *layers, last = refinement
    assert isinstance(last, nn.Conv2d)
    found = []
    for strip in strips(
        height, halo=_REFINEMENT_REACH, row_bytes=6 * 64 * width * batch * splatted[0].element_size(), budget=budget
    ):
        inputs = torch.cat([strip.halo(part).expand(batch, -1, -1, -1) for part in (*latents, *splatted)], 1)
        deep = inputs
        for layer in layers:
            deep = layer(deep)
        deep, own = strip.crop(deep), strip.crop(inputs[:, 2 * LATENT :])
        # The 3x3 neighbourhoods of rows 4i + 1 and 4i + 2 start at 4i and 4i + 1.
        refined = [
            functional.conv2d(deep[..., row - 1 :, column - 1 :], last.weight, last.bias, stride=4)
            + own[..., row::4, column::4]
            for row in _USED
            for column in _USED
        ]
        found.append(torch.stack(refined, 1))
    return torch.cat(found, 3)


class ImplicitNetwork(nn.Module):
    """The flow as a function of latent, timestep and position: five layers with sine activations (section 3.2).

    Weight columns are normalised, once unless they are trained.
    """

    def __init__(self) -> None:
        super().__init__()
        self._constants = Constants(self)
        self.params_dict = nn.ParameterDict(
            {
                f"linear_wb{index}": nn.Parameter(
                    torch.randn(inputs + 1, outputs, dtype=torch.float32, device="cpu") / inputs**0.5
                )
                for index, (inputs, outputs) in enumerate(pairwise(_LAYERS))
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised flow [..., 2] from [latent, t, y, x] [..., 35].

        y and x run from -1 to 1 between the edges of the image.
        """
        for index, (weight, bias) in enumerate(self._constants.get(("layers", x.device), self._layers)):
            x = functional.linear(x, weight, bias)
            x = torch.sin(x) if index < len(_LAYERS) - 2 else x + 0.5
        return x

    def _layers(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight [outputs, inputs] and bias of every layer."""
        given = [self.params_dict[f"linear_wb{index}"] for index in range(len(_LAYERS) - 1)]
        return [(functional.normalize(joined[:-1], dim=0).T, joined[-1]) for joined in given]

    def at_used_pixels(self, latents: Tensor, times: Tensor) -> Tensor:
        """Return the normalised flow, averaged over the used pixels of each 4x4 block.

        Args:
            latents: [B, 4, 32, H/4, W/4] by row and column of `_USED`.
            times: [B] float32.

        Returns:
            [B, 2, H/4, W/4] float32.
        """
        batch, _, _, height, width = latents.shape
        total = latents.new_zeros(batch, height, width, 2)
        size = height, width, latents.device
        places = self._constants.get(("used", *size), functools.partial(_used_places, *size))
        for index, grid in enumerate(places):
            place = grid.expand(batch, -1, -1, -1)
            time = times[:, None, None, None].expand(-1, height, width, 1)
            total = total + self(torch.cat((latents[:, index].permute(0, 2, 3, 1), time, place), -1))
        return total.permute(0, 3, 1, 2) / latents.shape[1]

    def at_all_pixels(self, latents: Tensor, times: Tensor) -> Tensor:
        """Return the normalised flow [B, 2, H, W] from latents [B, 32, H, W] and timesteps [B] float32.

        Evaluated row by row to limit memory.
        """
        batch, _, height, width = latents.shape
        rows, columns = (
            -1 + 2 * (torch.arange(length, dtype=torch.float32, device=latents.device) + 0.5) / length
            for length in (height, width)
        )
        time = times[:, None, None].expand(-1, width, 1)
        found = []
        for index in range(height):
            place = torch.stack((rows[index].expand(width), columns), -1).expand(batch, -1, -1)
            found.append(self(torch.cat((latents[:, :, index].permute(0, 2, 1), time, place), -1)))
        return torch.stack(found, 1).permute(0, 3, 1, 2)


def _used_places(height: int, width: int, device: torch.device) -> list[Tensor]:
    """Return the positions of every used pixel of all blocks of four, y then x: [height, width, 2] each."""
    return [
        torch.stack(
            torch.meshgrid(_used_centres(height, row, device), _used_centres(width, column, device), indexing="ij"),
            -1,
        )
        for row in _USED
        for column in _USED
    ]


def _used_centres(blocks: int, offset: int, device: torch.device) -> Tensor:
    """Return the coordinate of pixel `offset` of every block of four on an axis from -1 to 1: [blocks]."""
    pixels = 4 * torch.arange(blocks, dtype=torch.float32, device=device) + offset
    return -1 + 2 * (pixels + 0.5) / (4 * blocks)


def flow_scale(forth: Tensor, back: Tensor) -> Tensor:
    """Return the divisor of both flows, their largest displacement along an axis: [B, 1, 1, 1], never 0."""
    return torch.maximum(forth.abs().amax((1, 2, 3), keepdim=True), back.abs().amax((1, 2, 3), keepdim=True)).clamp(
        min=1e-8
    )


def splat_weights(flow: Tensor, partner: Tensor, error_weight: Tensor, variance_weight: Tensor) -> Tensor:
    """Weight pixels for splatting by the reliability of their flow (paper, section 3.2).

    Reliable flow agrees with the backward flow and varies little in its neighbourhood. Computed in float32, since the
    variance is a difference of large numbers.

    Args:
        flow: [B, 2, H, W] float32.
        partner: the flow of the other direction.
        error_weight: learned, [1].
        variance_weight: learned, [1].

    Returns:
        [B, 1, H, W] float32.
    """
    error = (-backward_warp(partner, flow) - flow).abs().mean(1, keepdim=True)
    variance = (_smooth(flow * flow) - _smooth(flow) ** 2).clamp(min=1e-9).sqrt().mean(1, keepdim=True)
    return 1 / (1 + error_weight * error) + 1 / (1 + variance_weight * variance)


def _smooth(flow: Tensor) -> Tensor:
    """Blur each component with the binomial kernel [1 2 1; 2 4 2; 1 2 1] / 16, mirrored at the border."""
    padded = functional.pad(flow, (1, 1, 1, 1), mode="reflect")
    return functional.avg_pool2d(functional.avg_pool2d(padded, 2, 1), 2, 1)


def splatted(
    latents: tuple[Tensor, Tensor], flows: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor], times: Tensor
) -> tuple[Tensor, Tensor]:
    """Splat both latents to t along their share of the flow; times [B, 1, 1, 1]."""
    moved = times * flows[0], (1 - times) * flows[1]
    first, second = (
        splat(latent, displacement, kind="linear", importance=weight)
        for latent, displacement, weight in zip(latents, moved, weights, strict=True)
    )
    return first, second
