"""Parts of FlowFormer against literal implementations of its specification."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.models.flow.test_flowformer import relative
from vsvfi.models.flow.flowformer import decoder
from vsvfi.models.flow.flowformer.attention import attend, position_code, unwindowed, windows
from vsvfi.models.flow.flowformer.cost_encoder import GlobalAttention, LocalAttention, PatchEmbed
from vsvfi.models.flow.flowformer.decoder import Attention, CrossAttention
from vsvfi.models.flow.flowformer.twins import Twins


def literal(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention as the specification writes it: [L, C], [M, C] -> [L, C]."""
    parts = [
        (a @ b.T * a.shape[1] ** -0.5).softmax(1) @ c
        for a, b, c in zip(*(x.chunk(heads, 1) for x in (q, k, v)), strict=True)
    ]
    return torch.cat(parts, 1)


def coded(rows: int, columns: int, width: int, step: int = 1) -> Tensor:
    """The position code of a grid, computed position by position."""
    frequencies = [f * 3.14 / 200 for f in range(width // 4)]
    table = [
        [wave(step * place * f) for place in (x, y) for wave in (math.sin, math.cos) for f in frequencies]
        for y in range(rows)
        for x in range(columns)
    ]
    return torch.tensor(table).reshape(rows, columns, width)


def grown(x: Tensor, multiple: int) -> Tensor:
    return functional.pad(x, (0, 0, 0, -x.shape[1] % multiple, 0, -x.shape[0] % multiple))


def literal_local(layer: LocalAttention, x: Tensor, context: Tensor) -> Tensor:
    """Local attention as the specification writes it, for one token index: [h, w, 128] and [h, w, 64]."""
    rows, columns = x.shape[:2]
    x, u = grown(x, 7), grown(torch.cat((x, context), 2), 7)
    result = torch.zeros_like(x)
    code = coded(7, 7, 192)
    for top in range(0, x.shape[0], 7):
        for left in range(0, x.shape[1], 7):
            window = (slice(top, top + 7), slice(left, left + 7))
            place, seen = (u[window] + code).flatten(0, 1), x[window].flatten(0, 1)
            result[window] = literal(layer.q(place), layer.k(place), layer.v(seen), 8).reshape(7, 7, 128)
    return layer.proj(result[:rows, :columns])  # type: ignore[no-any-return]


def literal_global(layer: GlobalAttention, x: Tensor, context: Tensor) -> Tensor:
    rows, columns = x.shape[:2]
    x, u = grown(x, 4), grown(torch.cat((x, context), 2), 4)
    q = layer.q((u + coded(*u.shape[:2], 192)).flatten(0, 1))
    keys, values = (
        convolve(image.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
        for convolve, image in ((layer.sr_key, u), (layer.sr_value, x))
    )
    k = layer.k((layer.norm(keys) + coded(*keys.shape[:2], 128, 4)).flatten(0, 1))
    v = layer.v(layer.norm(values).flatten(0, 1))
    return layer.proj(literal(q, k, v, 8).reshape(x.shape)[:rows, :columns])  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [(8, 9), (7, 12), (13, 15)], ids=str)
@pytest.mark.parametrize(
    ("attention", "definition"), [(LocalAttention, literal_local), (GlobalAttention, literal_global)]
)
def test_vertical_attention_is_what_the_specification_says(
    attention: type[LocalAttention | GlobalAttention],
    definition: Callable[[Any, Tensor, Tensor], Tensor],
    size: tuple[int, int],
) -> None:
    """Split layers with shared codes match concatenated tokens, context and codes.

    The sizes fill neither windows nor reductions, so that padding matters.
    """
    torch.manual_seed(0)
    layer, tokens, context = attention().eval(), torch.randn(3, *size, 128), torch.randn(*size, 64)
    for module in layer.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    with torch.inference_mode():
        expected = torch.stack([definition(layer, x, context) for x in tokens])
        assert relative(layer(tokens, context), expected) < 1e-5


def test_patches_are_what_the_specification_says() -> None:
    torch.manual_seed(0)
    layer, costs = PatchEmbed().eval(), 10 * torch.randn(4, 9, 18)
    with torch.inference_mode():
        image = layer.proj(functional.pad(costs[:, None], (0, 6, 0, 7)))
        assert image.shape[2:] == (2, 3)
        x, y = (8.0 * torch.arange(3) + 4).expand(2, 3), (8.0 * torch.arange(2) + 4)[:, None].expand(2, 3)
        code = position_code(x, y, 64).permute(2, 0, 1).expand(4, -1, -1, -1)
        expected = layer.norm(layer.ffn_with_coord(torch.cat((image, code), 1)).flatten(2).transpose(1, 2))
        assert relative(layer(costs), expected) < 1e-5


def test_patches_of_large_costs_stay_in_the_range_of_half_precision() -> None:
    """Up to 200000 here, where half precision ends at 65504; hundreds are normal, thousands after the first sums."""
    torch.manual_seed(0)
    layer, costs = PatchEmbed().eval(), 40000 * torch.randn(4, 16, 16)
    with torch.inference_mode():
        exact, near = layer(costs), layer.half()(costs)
    assert float(costs.abs().max()) > 65504
    assert relative(near.float(), exact) < 5e-3


def test_the_position_code_has_the_published_constant() -> None:
    """3.14, not pi: sines of x, cosines of x, then of y."""
    code = position_code(torch.tensor([100.0]), torch.tensor([7.5]), 12)[0].double()
    angles = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64) * 3.14 / 200
    expected = torch.cat([wave(place * angles) for place in (100.0, 7.5) for wave in (torch.sin, torch.cos)])
    assert torch.allclose(code, expected, atol=1e-6)


def test_cross_attention_is_attention() -> None:
    """The implementation on planes, with token keys computed once, matches ordinary attention."""
    torch.manual_seed(0)
    layer, memory, query, code = (
        CrossAttention().eval(),
        torch.randn(2, 8, 3, 5, 128),
        torch.randn(2, 3, 5, 64),
        torch.randn(2, 3, 5, 64),
    )
    with torch.inference_mode():
        tokens = memory.permute(0, 2, 3, 1, 4).flatten(0, 2)
        asked = layer.q(layer.norm1(query) + code).flatten(0, 2)[:, None]
        attended = attend(asked, layer.k(tokens), layer.v(tokens), 8)[:, 0].reshape(query.shape)
        y = query + layer.proj(torch.cat((attended, query), -1))
        expected = y + layer.ffn(layer.norm2(y))
        assert relative(layer(query, code, layer.prepare(memory)), expected) < 1e-5


@pytest.mark.parametrize("size", [(7, 14), (8, 9), (1, 20)])
def test_windows_and_back(size: tuple[int, int]) -> None:
    x = torch.randn(2, *size, 3)
    cut = windows(x)
    assert cut.shape[1:] == (-(-size[0] // 7) * -(-size[1] // 7), 49, 3)
    assert torch.equal(unwindowed(cut, *size), x)
    assert torch.equal(cut[0, 0, :7], functional.pad(x[0, 0, :7], (0, 0, 0, 7 - min(7, size[1]))))


def test_attention_to_the_reduced_image_drops_what_does_not_fill_a_kernel() -> None:
    """With 9x10 tokens and reduction 4, the last row and the last two columns are not attended to."""
    torch.manual_seed(0)
    attention = Twins().blocks[1].get_submodule("1.attn")
    x = torch.randn(1, 9, 10, 256)
    changed = x.clone()
    changed[:, 8:], changed[:, :, 8:] = 5.0, -5.0
    with torch.inference_mode():
        before, after = attention(x), attention(changed)
    assert torch.allclose(before[:, :8, :8], after[:, :8, :8], atol=1e-6)
    assert not torch.allclose(before[:, 8:], after[:, 8:], atol=1e-2)


@pytest.mark.parametrize("rows", [1024, 50])
def test_the_map_of_global_attention_and_attention_anew_agree(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_ROWS", rows)
    torch.manual_seed(0)
    layer, context, v = Attention().eval(), torch.randn(2, 128, 9, 11), torch.randn(2, 99, 128)
    with torch.inference_mode():
        nn.init.normal_(layer.to_qk.weight, std=0.3)
        kept, anew = layer(context, 2 * 99 * 99 * 4), layer(context, 2 * 99 * 99 * 4 - 1)
        assert kept.map is not None
        assert anew.map is None
        assert relative(anew(v), kept(v)) < 1e-5
        assert torch.allclose(kept.map.sum(2), torch.ones(2, 99))
