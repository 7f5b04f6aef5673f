"""What the recurrences of RAFT and FlowFormer have in common: motion encoder, separable GRU, flow head, mask head,
convex up-sampling.

RAFT, "Recurrent All-Pairs Field Transforms for Optical Flow" (ECCV 2020, arXiv 2003.12039), sections 3.3 and appendix.
Attribute names are the published keys below `update_block`. Knows neither encoders nor correlation, and remembers
nothing between calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

HIDDEN = 128
"""Channels of the recurrent state, and of the context beside it."""


class MotionEncoder(nn.Module):
    """From correlation [B, C, h, w] and flow [B, 2, h, w] to motion features [B, 128, h, w], the flow itself last.

    Args:
        correlation: C; RAFT's look-up has 324, FlowFormer's cost features and look-up 145.
    """

    def __init__(self, correlation: int) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(correlation, 256, 1)
        self.convc2 = nn.Conv2d(256, 192, 3, padding=1)
        self.convf1 = nn.Conv2d(2, 128, 7, padding=3)
        self.convf2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv = nn.Conv2d(192 + 64, HIDDEN - 2, 3, padding=1)

    def forward(self, correlation: Tensor, flow: Tensor) -> Tensor:
        flow = flow.to(correlation.dtype)
        seen = self.convc2(self.convc1(correlation).relu_()).relu_()
        moved = self.convf2(self.convf1(flow).relu_()).relu_()
        return torch.cat((self.conv(torch.cat((seen, moved), 1)).relu_(), flow), 1)


@dataclass(frozen=True, slots=True)
class _Pass:
    """One direction of the GRU for one context: weights without the context's columns, and what the context adds."""

    gates: Tensor  # [2 * 128, 128 + M, kernel]: update and reset
    candidate: Tensor  # [128, 128 + M, kernel]
    gates_context: Tensor  # [B, 2 * 128, h, w], bias included
    candidate_context: Tensor  # [B, 128, h, w], bias included
    padding: tuple[int, int]


type GRUContext = tuple[_Pass, _Pass]
"""What does not change from one iteration to the next."""


class SeparableGRU(nn.Module):
    """A convolutional GRU of a horizontal and a vertical pass.

    Its input is [context, motion]; the context never changes, so its third (RAFT) or quarter (FlowFormer) of the
    products is computed once, by `prepare`.

    Args:
        motion: channels of what changes: 128 in RAFT, 256 in FlowFormer.
    """

    def __init__(self, motion: int) -> None:
        super().__init__()
        inputs = 2 * HIDDEN + motion  # state, context, motion
        self.convz1, self.convr1, self.convq1 = (nn.Conv2d(inputs, HIDDEN, (1, 5), padding=(0, 2)) for _ in range(3))
        self.convz2, self.convr2, self.convq2 = (nn.Conv2d(inputs, HIDDEN, (5, 1), padding=(2, 0)) for _ in range(3))

    def prepare(self, context: Tensor) -> GRUContext:
        """What depends on the context [B, 128, h, w] alone."""
        passes = ((self.convz1, self.convr1, self.convq1, (0, 2)), (self.convz2, self.convr2, self.convq2, (2, 0)))
        return (_prepared(context, *passes[0]), _prepared(context, *passes[1]))

    def forward(self, state: Tensor, motion: Tensor, context: GRUContext) -> Tensor:
        """The next state [B, 128, h, w] from this one and the motion [B, M, h, w]."""
        for one in context:
            gates = (
                functional.conv2d(torch.cat((state, motion), 1), one.gates, padding=one.padding)
                .add_(one.gates_context)
                .sigmoid_()
            )
            update, reset = gates.chunk(2, 1)
            candidate = functional.conv2d(torch.cat((reset * state, motion), 1), one.candidate, padding=one.padding)
            state = torch.lerp(state, candidate.add_(one.candidate_context).tanh_(), update)
        return state


def _prepared(
    context: Tensor, update: nn.Conv2d, reset: nn.Conv2d, candidate: nn.Conv2d, padding: tuple[int, int]
) -> _Pass:
    """One pass's weights, parted by what they are multiplied with."""
    weights = [
        torch.cat((conv.weight[:, :HIDDEN], conv.weight[:, 2 * HIDDEN :]), 1) for conv in (update, reset, candidate)
    ]
    constant = [
        functional.conv2d(context, conv.weight[:, HIDDEN : 2 * HIDDEN], conv.bias, padding=padding)
        for conv in (update, reset, candidate)
    ]
    return _Pass(torch.cat(weights[:2]), weights[2], torch.cat(constant[:2], 1), constant[2], padding)


class FlowHead(nn.Module):
    """From the state [B, 128, h, w] to what the flow changes by, [B, 2, h, w]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(HIDDEN, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        change: Tensor = self.conv2(self.conv1(state).relu_())
        return change


class MaskHead(nn.Sequential):
    """From the state [B, 128, h, w] to the weights of convex up-sampling before their softmax, [B, 9 * 64, h, w].

    Wanted after the last iteration alone.
    """

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(HIDDEN, 256, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(256, 9 * 64, 1))

    def forward(self, state: Tensor) -> Tensor:
        for module in self:
            state = module(state)
        return 0.25 * state


def pixel_grid(height: int, width: int, device: torch.device) -> Tensor:
    """Every pixel's own place, [1, 2, h, w] float32, x then y."""
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=device),
        torch.arange(width, dtype=torch.float32, device=device),
        indexing="ij",
    )
    return torch.stack((columns, rows))[None]


def convex_upsample(flow: Tensor, mask: Tensor) -> Tensor:
    """Eight times the size: every fine pixel is a convex combination of the 3x3 coarse ones around it, zeros outside
    (RAFT, section 3.3).

    Args:
        flow: [B, 2, h, w] in coarse pixels.
        mask: [B, 9 * 64, h, w]: 64 * neighbour + 8 * row + column of the fine pixel.

    Returns:
        [B, 2, 8h, 8w] float32, in fine pixels.
    """
    batch, _, height, width = flow.shape
    shares = torch.softmax(mask.float().reshape(batch, 9, 1, 8, 8, height, width), 1)
    near = functional.unfold(8 * flow.float(), 3, padding=1).reshape(batch, 2, 9, 1, 1, height, width)
    fine = shares[:, 0] * near[:, :, 0]  # [B, 2, 8, 8, h, w]
    for neighbour in range(1, 9):  # one by one: all nine at once would take nine times the memory
        fine = torch.addcmul(fine, shares[:, neighbour], near[:, :, neighbour])
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, 8 * height, 8 * width)
