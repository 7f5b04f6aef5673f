"""Static regions are kept bit for bit; everything that moves or passes through is left to the network."""

from __future__ import annotations

import torch

from vsvfi.engine.still import KEPT, RADIUS, TAKEN_BACK, find_still


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Two random images that differ only in columns 30 to 33."""
    first = torch.rand(1, 3, 24, 64, generator=torch.Generator().manual_seed(0))
    second = first.clone()
    second[..., 30:34] = 1 - second[..., 30:34]
    return first, second


def test_the_region_keeps_its_distance_from_motion() -> None:
    still = find_still(*pictures())
    assert still is not None
    assert still.region is not None
    columns = still.region[0, 0].all(0)
    assert torch.equal(still.region[0, 0].any(0), columns)
    assert columns.nonzero().flatten().tolist() == [x for x in range(64) if x < 30 - RADIUS or x > 33 + RADIUS]


def test_small_deviations_vanish_and_large_ones_stay() -> None:
    first, second = pictures()
    still = find_still(first, second)
    assert still is not None
    for deviation, share in (
        (TAKEN_BACK / 2, 0.0),
        (TAKEN_BACK * 0.99, 0.0),
        ((TAKEN_BACK + KEPT) / 2, 0.5),
        (KEPT, 1.0),
        (0.3, 1.0),
    ):
        steady = still.steady(first + deviation)
        assert torch.allclose(steady[..., :20], (first + share * deviation)[..., :20], atol=1e-6)
        assert torch.equal(steady[..., 26:38], (first + deviation)[..., 26:38])
        if share == 0:
            assert torch.equal(steady[..., :20], first[..., :20])


def test_identical_pictures() -> None:
    first, _ = pictures()
    still = find_still(first, first.clone())
    assert still is not None
    assert still.region is None
    assert torch.equal(still.steady(first + 0.5), first)


def test_noise_shares_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    noisy = [torch.randint(0, 4, (1, 3, 32, 32), generator=generator) / 255 for _ in range(2)]
    assert find_still(*noisy) is None
