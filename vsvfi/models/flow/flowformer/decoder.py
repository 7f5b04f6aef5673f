"""FlowFormer's recurrent decoder: query the cost memory at the current flow, and update the flow (section 3.3).

Both directions of a pair form one batch. Global motion aggregation is that of GMA (Jiang et al., ICCV 2021, arXiv
2104.02409). Attribute names are the published keys. Flow, positions and costs are float32 whatever the type of the
weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.flow.flowformer.attention import position_code
from vsvfi.models.flow.flowformer.cost_encoder import LATENT, TOKENS
from vsvfi.models.flow.recurrence import (
    HIDDEN,
    FlowHead,
    MaskHead,
    MotionEncoder,
    SeparableGRU,
    convex_upsample,
    pixel_grid,
)
from vsvfi.ops.lookup import Correlation, lookup

_RADIUS = 4
_WINDOW = (2 * _RADIUS + 1) ** 2
_QUERY = 64
_ROWS = 1024
_HEADS = 8


@dataclass(frozen=True, slots=True)
class Memory:
    """Keys and values of the cost memory, laid out as planes of N source pixels."""

    keys: Tensor  # [B, 8 heads, 8 channels, 8 tokens, N], the factor 8^-0.5 included
    values: Tensor  # the same shape


class CrossAttention(nn.Module):
    """Attention of every source pixel to its own eight tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(_QUERY)
        self.norm2 = nn.LayerNorm(_QUERY)
        self.q = nn.Linear(_QUERY, _QUERY)
        self.k = nn.Linear(LATENT, _QUERY)
        self.v = nn.Linear(LATENT, _QUERY)
        self.proj = nn.Linear(2 * _QUERY, _QUERY)
        self.ffn = nn.Sequential(nn.Linear(_QUERY, _QUERY), nn.GELU(), nn.Identity(), nn.Linear(_QUERY, _QUERY))

    def prepare(self, memory: Tensor) -> Memory:
        """Compute keys and values of the cost memory [B, 8, h, w, 128] once for all iterations."""
        keys, values = (_planes(layer(memory).flatten(2, 3)) for layer in (self.k, self.v))
        return Memory(keys * (_QUERY // _HEADS) ** -0.5, values)

    def forward(self, query: Tensor, code: Tensor, memory: Memory) -> Tensor:
        """Map queries [B, h, w, 64] and position codes of the flow's targets, the same shape, to [B, h, w, 64]."""
        height, width = query.shape[1:3]
        # Each query has only eight keys of eight channels, too few for efficient matrix products; elementwise products
        # of planes are faster.
        q = (
            self.q(self.norm1(query) + code)
            .permute(0, 3, 1, 2)
            .reshape(-1, _HEADS, _QUERY // _HEADS, 1, height * width)
        )
        shares = (q * memory.keys).sum(2).softmax(2)  # [B, heads, tokens, N]
        attended = (shares[:, :, None] * memory.values).sum(3).reshape(-1, _QUERY, height, width).permute(0, 2, 3, 1)
        result = query + self.proj(torch.cat((attended, query), -1))
        return result + self.ffn(self.norm2(result))  # type: ignore[no-any-return]


def _planes(x: Tensor) -> Tensor:
    """[B, tokens, N, 64] -> [B, heads, channels, tokens, N]."""
    batch, tokens, sources, _ = x.shape
    return x.permute(0, 3, 1, 2).contiguous().view(batch, _HEADS, -1, tokens, sources)


class DecoderLayer(nn.Module):
    """A container that gives the cross-attention its published key."""

    def __init__(self) -> None:
        super().__init__()
        self.cross_attend = CrossAttention()

    def forward(self, query: Tensor, code: Tensor, memory: Memory) -> Tensor:
        result: Tensor = self.cross_attend(query, code, memory)
        return result


@dataclass(frozen=True, slots=True)
class GlobalAttention:
    """Attention between source pixels, softmax(q k^T / sqrt(128)), as a map or as queries and keys."""

    q: Tensor  # [B, N, 128]
    k: Tensor  # [B, N, 128]
    map: Tensor | None  # [B, N, N]

    def __call__(self, v: Tensor) -> Tensor:
        """Apply the attention to values [B, N, 128]."""
        if self.map is not None:
            return torch.bmm(self.map, v)
        return functional.scaled_dot_product_attention(self.q[:, None], self.k[:, None], v[:, None])[:, 0]


class Attention(nn.Module):
    """Compute global attention from a context."""

    def __init__(self) -> None:
        super().__init__()
        self.to_qk = nn.Conv2d(HIDDEN, 2 * HIDDEN, 1, bias=False)

    def forward(self, context: Tensor, budget: int) -> GlobalAttention:
        """Take the context [B, 128, h, w]; the map is stored if the batch's maps fit into `budget` bytes."""
        q, k = _rows(self.to_qk(context)).chunk(2, -1)
        batch, sources = q.shape[:2]
        if batch * sources**2 * q.element_size() > budget:
            return GlobalAttention(q, k, None)
        scaled, shares = q * HIDDEN**-0.5, q.new_empty(batch, sources, sources)
        for start in range(0, sources, _ROWS):  # a product of all rows at once would be as large as the map again
            shares[:, start : start + _ROWS] = torch.bmm(scaled[:, start : start + _ROWS], k.transpose(1, 2)).softmax(
                -1
            )
        return GlobalAttention(q, k, shares)


def _rows(image: Tensor) -> Tensor:
    """Rearrange [B, C, h, w] to [B, N, C], contiguous.

    On other layouts, attention silently falls back from the fused kernel to one that allocates the map.
    """
    return image.flatten(2).transpose(1, 2).contiguous()


class Aggregator(nn.Module):
    """Add to the motion features those of pixels that move alike (global motion aggregation)."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, dtype=torch.float32, device="cpu"))
        self.to_v = nn.Conv2d(HIDDEN, HIDDEN, 1, bias=False)

    def forward(self, motion: Tensor, attention: GlobalAttention) -> Tensor:
        return motion + self.gamma * attention(_rows(self.to_v(motion))).transpose(1, 2).reshape(motion.shape)


class UpdateBlock(nn.Module):
    """RAFT's recurrence with aggregated motion as a further input."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MotionEncoder(_QUERY + _WINDOW)
        self.gru = SeparableGRU(2 * HIDDEN)
        self.flow_head = FlowHead()
        self.mask = MaskHead()
        self.aggregator = Aggregator()


class MemoryDecoder(nn.Module):
    """The complete decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.flow_token_encoder = nn.Sequential(nn.Conv2d(_WINDOW, _QUERY, 1), nn.GELU(), nn.Conv2d(_QUERY, _QUERY, 1))
        self.proj = nn.Conv2d(2 * HIDDEN, 2 * HIDDEN, 1)
        self.decoder_layer = DecoderLayer()
        self.update_block = UpdateBlock()
        self.att = Attention()

    def start(self, eighth: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first state and the constant context [B, 128, h, w], from the context encoder's second stage."""
        state, context = self.proj(eighth).chunk(2, 1)
        return state.tanh(), context.relu()

    def forward(
        self, costs: Correlation, memory: Tensor, state: Tensor, context: Tensor, iterations: int, map_budget: int
    ) -> Tensor:
        """Estimate the flow.

        Args:
            costs: cost maps of every source pixel, one level.
            memory: [B, 8, h, w, 128].
            state, context: of the images that the flow starts from.
            iterations: number of flow updates.
            map_budget: maximum bytes of the global-attention maps; larger ones are recomputed in each iteration.

        Returns:
            [B, 2, 8h, 8w] float32, in pixels.
        """
        assert memory.shape[1] == TOKENS
        cells = self.decoder_layer.cross_attend.prepare(memory)
        attention = self.att(context, map_budget)
        recurrent = self.update_block.gru.prepare(context)
        start = pixel_grid(state.shape[2], state.shape[3], state.device)
        target = start.expand(state.shape[0], -1, -1, -1)
        for _ in range(iterations):
            target = target.detach()  # in training, gradients pass through the state alone, as published
            near = lookup(costs, target, _RADIUS).to(state.dtype)
            query = self.flow_token_encoder(near).permute(0, 2, 3, 1)
            code = position_code(target[:, 0], target[:, 1], _QUERY).to(state.dtype)
            distant = self.decoder_layer(query, code, cells).permute(0, 3, 1, 2)
            motion = self.update_block.encoder(torch.cat((distant, near), 1), target - start)
            motion = torch.cat((motion, self.update_block.aggregator(motion, attention)), 1)
            state = self.update_block.gru(state, motion, recurrent)
            target = target + self.update_block.flow_head(state).float()
        return convex_upsample(target - start, self.update_block.mask(state))
