"""Multiply-adds against counts by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vsvfi.cli.multiply_adds import multiply_adds, parameters
from vsvfi.ops import lookup, refinement, scan, sepconv, splat
from vsvfi.ops.warp import backward_warp


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def counted(call: Callable[[], object]) -> dict[str, int]:
    with torch.inference_mode():
        return multiply_adds(call)


def test_layers() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.Conv2d(4, 4, 3, 1, 1, groups=2)
    )
    found = counted(lambda: network(normal(2, 3, 16, 12)))
    first, second, third = 8 * 6 * 8 * 3 * 9, 8 * 6 * 8 * 4 * 16, 16 * 12 * 4 * 2 * 9
    assert found == {"layers": 2 * (first + second + third)}
    assert parameters(network) == 8 * 27 + 8 + 8 * 4 * 16 + 4 + 4 * 2 * 9 + 4


def test_products_and_attention() -> None:
    query = normal(1, 2, 10, 8)
    found = counted(lambda: nn.functional.scaled_dot_product_attention(query, query, query))
    assert found == {"layers": 2 * (10 * 10 * 8 + 10 * 10 * 8)}
    assert counted(lambda: nn.functional.linear(query, normal(5, 8))) == {"layers": 20 * 8 * 5}


def test_a_call_without_products() -> None:
    assert counted(lambda: normal(2, 3).relu()) == {"layers": 0}


def test_local_correlation_is_not_counted_by_its_blocks() -> None:
    from vsvfi.models.uprnet import parts

    features = normal(1, 8, 6, 20)
    found = counted(lambda: parts.local_correlation(features, features, 4))
    assert found == {"layers": 0, "correlation": 6 * 20 * 81 * 8}
    assert parts.local_correlation.__module__.startswith("vsvfi.ops")
    on_cuda = counted(lambda: torch.ops.vsvfi.correlation(features, features, 4))
    assert on_cuda == found


def test_warps_and_splats() -> None:
    image, flow = normal(1, 3, 6, 8), normal(1, 2, 6, 8)
    assert counted(lambda: backward_warp(image, flow)) == {"layers": 0, "warp": 4 * 3 * 48}
    assert counted(lambda: torch.ops.vsvfi.warp(image, flow, 0))["warp"] == 4 * 3 * 48  # what CUDA calls
    found = counted(lambda: splat.splat(image, flow))
    assert found == {"layers": 0, "splat": 4 * (3 + 1) * 48}


@pytest.mark.parametrize("on_demand", [False, True])
def test_lookups(on_demand: bool) -> None:
    volumes, source, centres, radius = next(iter(lookup.op.LOOKUP.sample_inputs()))
    if on_demand:
        volumes, source, centres, radius = list(lookup.op.LOOKUP.sample_inputs())[1]
    found = counted(lambda: torch.ops.vsvfi.lookup(volumes, source, centres, radius))
    products = 100 * 40 if on_demand else 0
    assert found == {"layers": 0, "lookup": 2 * 35 * len(volumes) * (4 * 81 + products)}


def test_scans_and_separable_convolutions() -> None:
    found = counted(lambda: torch.ops.vsvfi.scan(*next(iter(scan.op.SCAN.sample_inputs()))))
    assert found == {"layers": 0, "scan": 2 * 70 * 64 * (3 * 16 + 1)}
    found = counted(lambda: torch.ops.vsvfi.sepconv(*next(iter(sepconv.op.SEPCONV.sample_inputs()))))
    assert found == {"layers": 0, "sepconv": 2 * 25 * 5 * 6 * (3 * 5 + 2)}


def test_rifes_refinement() -> None:
    first, flow = normal(1, 7, 16, 24), normal(1, 4, 16, 24)
    found = counted(lambda: refinement.blend_pair(first, first, flow, torch.sigmoid(flow[:, :1])))
    assert sum(found.values()) >= 2 * 4 * 3 * 16 * 24
