"""Unit tests of LDMVFI's options, schedule, windows, biases and codebook."""

from __future__ import annotations

import pytest
import torch

from tests.models.ldmvfi.pieces import VARIANT
from vsvfi.errors import ArgumentError
from vsvfi.models.family import Timesteps
from vsvfi.models.ldmvfi import autoencoder, sampler
from vsvfi.models.ldmvfi.attention import MaxViT, PositionBias
from vsvfi.models.ldmvfi.sampler import kept_signal, schedule, timesteps
from vsvfi.models.ldmvfi.spec import FAMILY
from vsvfi.models.registry import check_options


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (
            {"steps": 0},
            r"options\['steps'\]=0, must be a whole number from 1 to 1000, or 'fast' for 50; see the README of "
            r"vsvfi/models/ldmvfi",
        ),
        ({"steps": True}, "must be a whole number from 1 to 1000"),
        ({"steps": "slow"}, "must be a whole number from 1 to 1000"),
        ({"eta": 1.5}, r"options\['eta'\]=1\.5, must be a number from 0"),
        ({"eta": False}, "must be a number from 0"),
        ({"seed": 0.5}, r"options\['seed'\]=0\.5, must be a whole number"),
        ({"seed": True}, "must be a whole number"),
        ({"levels": 3}, "LDMVFI has no option 'levels'; it takes eta, seed, steps"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], fault: str) -> None:
    with pytest.raises(ArgumentError, match=fault):
        check_options(FAMILY, options)


def test_options_scales_and_times() -> None:
    assert check_options(FAMILY, {}) == {"steps": 200, "eta": 1.0, "seed": 0}
    assert check_options(FAMILY, {"steps": "fast", "eta": 0, "seed": -3}) == {"steps": 50, "eta": 0.0, "seed": -3}
    assert FAMILY.scales == (1,)
    assert FAMILY.default_scale(3840, 2160) == 1
    assert VARIANT.timesteps is Timesteps.HALF


@pytest.mark.parametrize(
    ("steps", "count", "last"),
    [
        (1, 1, 1),
        (2, 2, 501),
        (4, 4, 751),
        (7, 8, 995),
        (64, 67, 991),
        (200, 200, 996),
        (333, 334, 999),
        (1000, 1000, 999),
    ],
)
def test_the_steps_that_are_visited(steps: int, count: int, last: int) -> None:
    visited = timesteps(steps)
    assert (len(visited), visited[0], visited[-1]) == (count, 1, last)
    assert max(visited) < 1000


def test_the_schedule_is_the_published_one() -> None:
    kept = kept_signal()
    published = {
        0: 0.9985,
        1: 0.996994427,
        251: 0.506336338,
        501: 0.114004784,
        751: 0.00822469954,
        996: 1.50951e-4,
        999: 1.42304e-4,
    }
    assert all(float(kept[n]) == pytest.approx(value, rel=3e-6) for n, value in published.items())
    for eta in (0.0, 1.0):
        for update in schedule(50, eta):
            assert update.next_noise**2 + update.fresh**2 + update.next_signal**2 == pytest.approx(1, abs=1e-6)
            assert (update.fresh > 0) == (eta > 0)
    # The last step does not end at a clean latent
    assert schedule(50, 1.0)[-1].next_signal == pytest.approx(0.9985**0.5)
    assert all(0 <= update.fresh < 1 for update in schedule(1000, 1.0))


def test_noise_goes_away_if_the_network_knows_it() -> None:
    """With the true noise predicted, the sampler ends at the clean latent plus the first step's noise."""
    clean, noise = torch.randn(2, 1, 3, 8, 8)
    updates = schedule(20, 0.0)
    start = updates[0].signal * clean + updates[0].noise_share * noise
    found = sampler.ddim(updates, lambda x, index: noise, start, None)
    assert float((found - (0.9985**0.5 * clean + 0.0015**0.5 * noise)).abs().max()) < 1e-3


def test_windows_and_lattices() -> None:
    """A token attends to its window, then to its lattice; which results a change affects shows which is which."""
    block = MaxViT(32, 1, 4).eval()
    for module in block.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.15)
    image = torch.randn(1, 32, 8, 12)
    changed = image.clone()
    changed[:, :, 1, 2] = torch.randn(32)
    with torch.inference_mode():
        for part, expected in (
            (block.attn_block, {(row, column) for row in range(4) for column in range(4)}),
            (block.attn_grid, {(row, column) for row in range(1, 8, 2) for column in range(2, 12, 3)}),
        ):
            before, after = (part(tokens.permute(0, 2, 3, 1), None) for tokens in (image, changed))
            assert {tuple(place) for place in (before != after).any(3)[0].nonzero().tolist()} == expected


def test_the_bias_is_by_distance() -> None:
    bias = PositionBias(3, 2)
    bias.weight.data = torch.arange(50.0).reshape(25, 2)
    table = bias()
    for i in range(9):
        for j in range(9):
            row = (i // 3 - j // 3 + 2) * 5 + (i % 3 - j % 3 + 2)
            assert table[:, i, j].tolist() == [2 * row, 2 * row + 1]


def test_the_nearest_code_is_found_and_the_first_of_equal_ones() -> None:
    book = autoencoder.Codebook()
    book.embedding.weight.data[5] = book.embedding.weight.data[3] = torch.tensor([40.0, 0.0, 0.0])
    latent = torch.tensor([40.1, 0.0, 0.2]).reshape(1, 3, 1, 1)
    assert book.nearest(latent).tolist() == [[[3]]]
    assert torch.allclose(book(latent).flatten(), torch.tensor([40.0, 0.0, 0.0]), atol=1e-5)
