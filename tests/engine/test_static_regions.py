"""Static regions are kept bit for bit; everything that moves or passes through is left to the network."""

from __future__ import annotations

import torch

from vsvfi.engine.static_regions import FULL_CORRECTION, NO_CORRECTION, RADIUS, find_static_region


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Two random images that differ only in columns 30 to 33."""
    first = torch.rand(1, 3, 24, 64, generator=torch.Generator().manual_seed(0))
    second = first.clone()
    second[..., 30:34] = 1 - second[..., 30:34]
    return first, second


def test_the_region_keeps_its_distance_from_motion() -> None:
    static = find_static_region(*images())
    assert static is not None
    assert static.mask is not None
    columns = static.mask[0, 0].all(0)
    assert torch.equal(static.mask[0, 0].any(0), columns)
    assert columns.nonzero().flatten().tolist() == [x for x in range(64) if x < 30 - RADIUS or x > 33 + RADIUS]


def test_small_deviations_vanish_and_large_ones_stay() -> None:
    first, second = images()
    static = find_static_region(first, second)
    assert static is not None
    for deviation, share in (
        (FULL_CORRECTION / 2, 0.0),
        (FULL_CORRECTION * 0.99, 0.0),
        ((FULL_CORRECTION + NO_CORRECTION) / 2, 0.5),
        (NO_CORRECTION, 1.0),
        (0.3, 1.0),
    ):
        corrected = static.suppress_flicker(first + deviation)
        assert torch.allclose(corrected[..., :20], (first + share * deviation)[..., :20], atol=1e-6)
        assert torch.equal(corrected[..., 26:38], (first + deviation)[..., 26:38])
        if share == 0:
            assert torch.equal(corrected[..., :20], first[..., :20])


def test_identical_images() -> None:
    first, _ = images()
    static = find_static_region(first, first.clone())
    assert static is not None
    assert static.mask is None
    assert torch.equal(static.suppress_flicker(first + 0.5), first)


def test_noise_shares_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    noisy = [torch.randint(0, 4, (1, 3, 32, 32), generator=generator) / 255 for _ in range(2)]
    assert find_static_region(*noisy) is None


def test_a_device_decides_what_the_host_would() -> None:
    """Without waiting for the device: parts that stand still, identical images, and images that share nothing."""
    first, second = images()
    for other in (second, first.clone(), torch.rand_like(first)):
        known, decided = find_static_region(first, other), find_static_region(first, other, waits=False)
        assert decided is not None
        for image in (first + FULL_CORRECTION / 2, first + 0.5):
            assert torch.equal(
                decided.suppress_flicker(image), image if known is None else known.suppress_flicker(image)
            )
