"""The recurrent parts shared by RAFT and FlowFormer.

Motion encoder, separable GRU, flow head, mask head and convex upsampling of RAFT, "Recurrent All-Pairs Field Transforms
for Optical Flow" (ECCV 2020, arXiv 2003.12039), section 3.3 and appendix. Attribute names are the published keys below
`update_block`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

HIDDEN = 128
"""Channels of the recurrent state, and of the context."""


class MotionEncoder(nn.Module):
    """Encode correlation [B, C, h, w] and flow [B, 2, h, w] as motion features [B, 128, h, w], the flow last.

    Args:
        correlation: C; 324 for RAFT's lookup, 145 for FlowFormer's cost features and lookup.
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
    """One direction of the GRU for one context: weights without the context's columns, and the context's response."""

    gates: Tensor  # [2 * 128, 128 + M, kernel]: update and reset
    candidate: Tensor  # [128, 128 + M, kernel]
    gates_context: Tensor  # [B, 2 * 128, h, w], bias included
    candidate_context: Tensor  # [B, 128, h, w], bias included
    padding: tuple[int, int]


type GRUContext = tuple[_Pass, _Pass]
"""The parts of both passes that are the same in every iteration."""


class SeparableGRU(nn.Module):
    """A convolutional GRU with a horizontal and a vertical pass.

    Its input is [context, motion]. The context is constant, so its share of the convolutions, a third (RAFT) or a
    quarter (FlowFormer), is computed once by `prepare`.

    Args:
        motion: channels of the motion features: 128 in RAFT, 256 in FlowFormer.
    """

    def __init__(self, motion: int) -> None:
        super().__init__()
        inputs = 2 * HIDDEN + motion  # state, context, motion
        self.convz1, self.convr1, self.convq1 = (nn.Conv2d(inputs, HIDDEN, (1, 5), padding=(0, 2)) for _ in range(3))
        self.convz2, self.convr2, self.convq2 = (nn.Conv2d(inputs, HIDDEN, (5, 1), padding=(2, 0)) for _ in range(3))

    def prepare(self, context: Tensor) -> GRUContext:
        """Compute what depends on the context [B, 128, h, w] only."""
        passes = ((self.convz1, self.convr1, self.convq1, (0, 2)), (self.convz2, self.convr2, self.convq2, (2, 0)))
        return (_prepared(context, *passes[0]), _prepared(context, *passes[1]))

    def forward(self, state: Tensor, motion: Tensor, context: GRUContext) -> Tensor:
        """Return the next state [B, 128, h, w] from the current one and the motion [B, M, h, w]."""
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
    """Split the weights of one pass by the input they apply to, and apply those of the context."""
    weights = [
        torch.cat((conv.weight[:, :HIDDEN], conv.weight[:, 2 * HIDDEN :]), 1) for conv in (update, reset, candidate)
    ]
    constant = [
        functional.conv2d(context, conv.weight[:, HIDDEN : 2 * HIDDEN], conv.bias, padding=padding)
        for conv in (update, reset, candidate)
    ]
    return _Pass(torch.cat(weights[:2]), weights[2], torch.cat(constant[:2], 1), constant[2], padding)


class FlowHead(nn.Module):
    """Map the state [B, 128, h, w] to the flow update [B, 2, h, w]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(HIDDEN, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        change: Tensor = self.conv2(self.conv1(state).relu_())
        return change


class MaskHead(nn.Sequential):
    """Map the state [B, 128, h, w] to the convex-upsampling weights before their softmax, [B, 9 * 64, h, w].

    Only needed after the last iteration.
    """

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(HIDDEN, 256, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(256, 9 * 64, 1))

    def forward(self, state: Tensor) -> Tensor:
        for module in self:
            state = module(state)
        return 0.25 * state


def pixel_grid(height: int, width: int, device: torch.device) -> Tensor:
    """Return the coordinates of every pixel, [1, 2, h, w] float32, x then y."""
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=device),
        torch.arange(width, dtype=torch.float32, device=device),
        indexing="ij",
    )
    return torch.stack((columns, rows))[None]


def convex_upsample(flow: Tensor, mask: Tensor) -> Tensor:
    """Upsample flow eightfold by convex combinations of 3x3 coarse neighbours (RAFT, section 3.3).

    Neighbours outside the image are zero.

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
    for neighbour in range(1, 9):  # a loop, since all nine at once would take nine times the memory
        fine = torch.addcmul(fine, shares[:, neighbour], near[:, :, neighbour])
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, 8 * height, 8 * width)
