"""FlowFormer's cost-volume encoder: eight latent tokens per source pixel (paper section 3.2).

A cost map is split into patches; the latent tokens attend to these, to one another, and (each token index separately)
to the tokens of other source pixels. Everything here is for one direction of one pair with N = h w source pixels.
Tokens are [8, h, w, 128]. Attribute names are the published keys.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.constants import Constants
from vsvfi.models.flow.flowformer.attention import WINDOW, Perceptron, attend, grid_code, padded, unwindowed, windows

LATENT = 128
"""Channels of a latent token and of a patch."""

TOKENS = 8
"""Latent tokens of a source pixel."""

CONTEXT = 64
"""Context channels of a block."""

_HEADS = 8
_REDUCTION = 4
_PATCH = 8
"""Side of a patch, in pixels of the cost map."""

_CHUNK = 1 << 25
"""Maximum bytes of a tensor in one chunk of source pixels or of token indices."""


_SHRINK = 2.0**-6
"""Scale of the costs, and of all biases, in the patch embedding.

Keeps costs of several hundreds and their sums within the range of half precision. The result is the same, since the
embedding has no activation but ReLU and ends in a normalisation.
"""


class PatchEmbed(nn.Module):
    """Embed cost maps as tokens of 8x8 patches with position codes."""

    def __init__(self) -> None:
        super().__init__()
        self._constants = Constants(self)
        self.proj = nn.Sequential(
            nn.Conv2d(1, 16, 6, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 6, 2, 2), nn.ReLU(), nn.Conv2d(32, 64, 6, 2, 2)
        )
        self.ffn_with_coord = nn.Sequential(nn.Conv2d(LATENT, LATENT, 1), nn.ReLU(), nn.Conv2d(LATENT, LATENT, 1))
        self.norm = nn.LayerNorm(LATENT)

    def forward(self, costs: Tensor) -> Tensor:
        """Map [S, h, w] to [S, P, 128], P = ceil(h/8) ceil(w/8)."""
        rows, columns = costs.shape[1:]
        weight, bias = zip(
            *((layer.weight, _SHRINK * layer.bias) for layer in (*self.proj[::2], *self.ffn_with_coord[::2])),
            strict=True,
        )
        x = functional.pad(_SHRINK * costs[:, None], (0, -columns % _PATCH, 0, -rows % _PATCH)).to(
            self.norm.weight.dtype
        )
        for index in range(3):
            x = functional.conv2d(x.relu() if index else x, weight[index], bias[index], 2, 2)
        patches = x.flatten(2).transpose(1, 2)
        # The next layer takes patch and position code concatenated; the code's share is the same for every source
        # pixel, so it is computed once.
        channels, height, width = x.shape[1:]
        seen, placed = weight[3].flatten(1).tensor_split((channels,), 1)
        grid = height, width, LATENT - channels, costs.device, _PATCH, _PATCH // 2
        code = self._constants.get(grid, lambda: grid_code(*grid).flatten(0, 1))
        place = functional.linear((_SHRINK * code).to(x.dtype), placed, bias[3])
        hidden = (functional.linear(patches, seen) + place).relu()
        tokens = functional.linear(hidden, weight[4].flatten(1), bias[4])
        return functional.layer_norm(
            tokens, tokens.shape[-1:], self.norm.weight, self.norm.bias, self.norm.eps * _SHRINK**2
        )


class LatentLayer(nn.Module):
    """Attention of the latent tokens of a source pixel to its patches, or to one another."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(LATENT)
        self.norm2 = nn.LayerNorm(LATENT)
        self.q = nn.Linear(LATENT, LATENT)
        self.k = nn.Linear(LATENT, LATENT)
        self.v = nn.Linear(LATENT, LATENT)
        self.proj = nn.Linear(LATENT, LATENT)
        self.ffn = nn.Sequential(nn.Linear(LATENT, LATENT), nn.GELU(), nn.Identity(), nn.Linear(LATENT, LATENT))

    def forward(self, latent: Tensor, patches: Tensor | None = None) -> Tensor:
        """Map tokens [S or 1, 8, 128] and patches [S, P, 128] or None to [S, 8, 128]."""
        normed = self.norm1(latent)
        seen = normed if patches is None else patches
        q = self.q(normed).expand(seen.shape[0], -1, -1)
        latent = latent + self.proj(attend(q, self.k(seen), self.v(seen), _HEADS))
        result: Tensor = latent + self.ffn(self.norm2(latent))
        return result


class LocalAttention(nn.Module):
    """Attention within windows of 7x7 source pixels; queries and keys also use the context.

    The padding of the last windows is attended to, as in the published program.

    Layers that take tokens, context and position concatenated are split, since only the tokens' share differs between
    the eight token indices.
    """

    def __init__(self) -> None:
        super().__init__()
        self._constants = Constants(self)
        self.context_proj = nn.Linear(2 * LATENT, CONTEXT)
        self.q = nn.Linear(LATENT + CONTEXT, LATENT)
        self.k = nn.Linear(LATENT + CONTEXT, LATENT)
        self.v = nn.Linear(LATENT, LATENT)
        self.proj = nn.Linear(LATENT, LATENT)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Take normalised tokens [T, h, w, 128] and the projected context [h, w, 64]."""
        rows, columns = x.shape[1:3]
        queries_keys = torch.cat((self.q.weight, self.k.weight))  # [256, 192]
        grid = WINDOW, WINDOW, LATENT + CONTEXT, x.device
        code = self._constants.get((*grid, x.dtype), lambda: grid_code(*grid).flatten(0, 1).to(x.dtype))
        shared = functional.linear(code, queries_keys, torch.cat((self.q.bias, self.k.bias)))  # [49, 256]
        shared = shared + functional.linear(windows(context[None])[0], queries_keys[:, LATENT:])  # [W, 49, 256]
        shared = torch.cat((shared, self.v.bias.expand(*shared.shape[:2], -1)), -1)
        # [T, W, 49, 384]
        tokens = functional.linear(windows(x), torch.cat((queries_keys[:, :LATENT], self.v.weight))) + shared
        q, k, v = tokens.flatten(0, 1).chunk(3, -1)
        attended = attend(q, k, v, _HEADS).view(*tokens.shape[:3], LATENT)
        result: Tensor = self.proj(unwindowed(attended, rows, columns))
        return result


class GlobalAttention(nn.Module):
    """Attention of every source pixel to all of them, reduced by a convolution.

    Queries and keys also use the context.
    """

    def __init__(self) -> None:
        super().__init__()
        self._constants = Constants(self)
        self.context_proj = nn.Linear(2 * LATENT, CONTEXT)
        self.q = nn.Linear(LATENT + CONTEXT, LATENT)
        self.k = nn.Linear(LATENT, LATENT)
        self.v = nn.Linear(LATENT, LATENT)
        self.proj = nn.Linear(LATENT, LATENT)
        self.sr_key = nn.Conv2d(LATENT + CONTEXT, LATENT, _REDUCTION, _REDUCTION)
        self.sr_value = nn.Conv2d(LATENT, LATENT, _REDUCTION, _REDUCTION)
        self.norm = nn.LayerNorm(LATENT)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Take normalised tokens [T, h, w, 128] and the projected context [h, w, 64]; split like `LocalAttention`."""
        rows, columns = x.shape[1:3]
        grid = rows, columns, LATENT + CONTEXT, x.device
        code = self._constants.get((*grid, x.dtype), lambda: grid_code(*grid).to(x.dtype))
        # [h, w, 128]
        shared = functional.linear(code, self.q.weight, self.q.bias) + functional.linear(
            context, self.q.weight[:, LATENT:]
        )
        q = (functional.linear(x, self.q.weight[:, :LATENT]) + shared).flatten(1, 2)

        image, beside = (
            padded(x, _REDUCTION).permute(0, 3, 1, 2),
            padded(context[None], _REDUCTION).permute(0, 3, 1, 2),
        )
        keys_values = torch.cat((self.sr_key.weight[:, :LATENT], self.sr_value.weight))
        biases = torch.cat([layer.bias for layer in (self.sr_key, self.sr_value) if layer.bias is not None])
        reduced = functional.conv2d(image, keys_values, biases, _REDUCTION).permute(0, 2, 3, 1)
        keys, values = reduced.chunk(2, -1)  # [T, h/4, w/4, 128] each
        keys = keys + functional.conv2d(beside, self.sr_key.weight[:, LATENT:], None, _REDUCTION).permute(0, 2, 3, 1)
        coarse = keys.shape[1], keys.shape[2], LATENT, x.device, _REDUCTION
        places = self._constants.get((*coarse, x.dtype), lambda: grid_code(*coarse).to(x.dtype))
        k = self.k(self.norm(keys) + places).flatten(1, 2)
        v = self.v(self.norm(values)).flatten(1, 2)
        result: Tensor = self.proj(attend(q, k, v, _HEADS).view_as(x))
        return result


class VerticalBlock(nn.Module):
    """Attention among source pixels and an MLP, each with a residual connection."""

    def __init__(self, attention: LocalAttention | GlobalAttention) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(LATENT)
        self.attn = attention
        self.norm2 = nn.LayerNorm(LATENT)
        self.mlp = Perceptron(LATENT)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), context)
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class VerticalLayer(nn.Module):
    """A block of local attention, then one of global attention."""

    def __init__(self) -> None:
        super().__init__()
        self.local_block = VerticalBlock(LocalAttention())
        self.global_block = VerticalBlock(GlobalAttention())

    def forward(self, x: Tensor, local_context: Tensor, global_context: Tensor) -> Tensor:
        result: Tensor = self.global_block(self.local_block(x, local_context), global_context)
        return result


class CostPerceiverEncoder(nn.Module):
    """The complete cost encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_tokens = nn.Parameter(torch.randn(1, TOKENS, LATENT, dtype=torch.float32, device="cpu"))
        self.patch_embed = PatchEmbed()
        self.input_layer = LatentLayer()
        self.encoder_layers = nn.ModuleList(LatentLayer() for _ in range(3))
        self.vertical_encoder_layers = nn.ModuleList(VerticalLayer() for _ in range(3))

    def project_context(self, context: Tensor) -> Tensor:
        """Project the context [B, h, w, 256] for all blocks, one after the other: [B, h, w, 6 * 64]."""
        attentions = [block.attn for layer in self._vertical() for block in (layer.local_block, layer.global_block)]
        return torch.cat([attention.context_proj(context) for attention in attentions], -1)

    def forward(self, costs: Callable[[slice], Tensor], context: Tensor) -> Tensor:
        """Encode the cost maps as the cost memory.

        Args:
            costs: returns the cost maps [S, h, w] of a slice of source pixels, float32.
            context: `project_context` of one image, [h, w, 6 * 64].

        Returns:
            [8, h, w, 128].
        """
        rows, columns = context.shape[:2]
        entered = self._read(costs, rows, columns)
        tokens = entered
        # Source pixels at a time; fused attention takes 65535 at most
        some = max(1, _CHUNK // (TOKENS * LATENT * tokens.element_size()))
        count = max(1, _CHUNK // (rows * columns * 4 * LATENT * tokens.element_size()))  # token indices at a time
        contexts = torch.split(context, CONTEXT, -1)
        for round_, (layer, vertical) in enumerate(zip(self.encoder_layers, self._vertical(), strict=True)):
            by_source = torch.split(tokens.flatten(1, 2).transpose(0, 1), some)  # [<= some, 8, 128] each
            tokens = _as_image(torch.cat([layer(part) for part in by_source]), rows, columns)
            # From here on, token indices do not interact.
            tokens = torch.cat(
                [vertical(part, *contexts[2 * round_ : 2 * round_ + 2]) for part in torch.split(tokens, count)]
            )
        return tokens + entered

    def _read(self, costs: Callable[[slice], Tensor], rows: int, columns: int) -> Tensor:
        """Let the latent tokens attend to the patches, one chunk of source pixels at a time.

        For all source pixels, the first layer's activations would be 4 N^2 values.
        """
        sources = rows * columns
        chunk = max(1, _CHUNK // (4 * sources * self.latent_tokens.element_size()))
        parts = []
        for start in range(0, sources, chunk):
            patches = self.patch_embed(costs(slice(start, min(start + chunk, sources))))
            parts.append(self.input_layer(self.latent_tokens, patches))
        return _as_image(torch.cat(parts), rows, columns)

    def _vertical(self) -> list[VerticalLayer]:
        return [layer for layer in self.vertical_encoder_layers if isinstance(layer, VerticalLayer)]


def _as_image(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Rearrange [N, 8, 128] to [8, h, w, 128], contiguous."""
    return tokens.transpose(0, 1).contiguous().view(TOKENS, rows, columns, LATENT)
