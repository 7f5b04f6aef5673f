"""Warping and resizing against their definitions, written out pixel by pixel."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
import torch
from torch import Tensor

from vsvfi.ops.warp import backward_warp, op, resize_bilinear


def warp_by_definition(image: Tensor, flow: Tensor) -> Tensor:
    _, channels, height, width = image.shape
    out = torch.zeros(channels, height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            px = min(max(x + float(flow[0, 0, y, x]), 0.0), width - 1.0)
            py = min(max(y + float(flow[0, 1, y, x]), 0.0), height - 1.0)
            x0, y0 = floor(px), floor(py)
            x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
            fx, fy = px - x0, py - y0
            a = image[0].double()
            out[:, y, x] = (a[:, y0, x0] * (1 - fx) + a[:, y0, x1] * fx) * (1 - fy) + (
                a[:, y1, x0] * (1 - fx) + a[:, y1, x1] * fx
            ) * fy
    return out[None].float()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (6, 9)])
def test_warp_is_its_definition(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, *size, generator=generator)
    flow = torch.randn(1, 2, *size, generator=generator) * 4
    assert torch.allclose(backward_warp(image, flow), warp_by_definition(image, flow), atol=1e-5)


def test_positions_are_exact_far_to_the_right_in_half_precision() -> None:
    width = 4096
    image = (torch.arange(width) % 7).float().expand(1, 1, 1, width) / 8
    flow = torch.zeros(1, 2, 1, width)
    flow[:, 0] = 1
    expected = torch.roll(image, -1, -1)[..., :-1]
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.allclose(backward_warp(image.to(dtype), flow)[..., :-1].float(), expected, atol=2e-3)


def test_broken_flow_is_harmless() -> None:
    image = torch.rand(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[0, 0, 0, 0], flow[0, 0, 1, 1], flow[0, 1, 2, 2] = float("nan"), float("inf"), float("-inf")
    result = backward_warp(image, flow)
    assert torch.isfinite(result).all()
    assert float(result[0, 0, 0, 0]) == pytest.approx(float(image[0, 0, 0, 0]))
    assert float(result[0, 0, 1, 1]) == pytest.approx(float(image[0, 0, 1, 4]))
    assert float(result[0, 0, 2, 2]) == pytest.approx(float(image[0, 0, 0, 2]))


def test_one_image_serves_a_whole_batch_of_flows() -> None:
    image, flow = torch.rand(1, 2, 6, 8), torch.randn(3, 2, 6, 8)
    assert torch.equal(backward_warp(image, flow), backward_warp(image.expand(3, -1, -1, -1).contiguous(), flow))


def test_sizes_must_agree() -> None:
    with pytest.raises(
        ValueError, match=r"backward_warp: flow=\(1, 2, 4, 4\), must have the size of image=\(1, 3, 8, 8\)"
    ):
        backward_warp(torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 4, 4))


def resize_by_definition(image: Tensor, factor: Fraction) -> Tensor:
    height, width = (floor(size * factor + Fraction(1, 2)) for size in image.shape[-2:])
    out = torch.zeros(image.shape[1], height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            sy = min(max((y + 0.5) / float(factor) - 0.5, 0.0), image.shape[-2] - 1.0)
            sx = min(max((x + 0.5) / float(factor) - 0.5, 0.0), image.shape[-1] - 1.0)
            y0, x0 = floor(sy), floor(sx)
            y1, x1 = min(y0 + 1, image.shape[-2] - 1), min(x0 + 1, image.shape[-1] - 1)
            a, fy, fx = image[0].double(), sy - y0, sx - x0
            out[:, y, x] = (a[:, y0, x0] * (1 - fx) + a[:, y0, x1] * fx) * (1 - fy) + (
                a[:, y1, x0] * (1 - fx) + a[:, y1, x1] * fx
            ) * fy
    return out[None].float()


@pytest.mark.parametrize(
    "factor", [Fraction(1, 2), Fraction(1, 4), Fraction(4, 5), Fraction(5, 4), Fraction(2), Fraction(7, 10)]
)
@pytest.mark.parametrize("size", [(20, 40), (9, 13)])
def test_resize_is_its_definition(factor: Fraction, size: tuple[int, int]) -> None:
    image = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(resize_bilinear(image, factor), resize_by_definition(image, factor), atol=1e-5)


def test_factor_one_is_the_input_itself() -> None:
    image = torch.rand(1, 3, 5, 7)
    assert resize_bilinear(image, Fraction(1)) is image


def test_a_strip_of_the_flow_makes_a_strip_of_the_result() -> None:
    image, flow = torch.rand(2, 3, 12, 9), 4 * torch.randn(2, 2, 12, 9)
    whole = backward_warp(image, flow)
    for top, bottom in ((0, 5), (4, 12), (0, 12)):
        torch.testing.assert_close(backward_warp(image, flow[:, :, top:bottom], top), whole[:, :, top:bottom])


@pytest.mark.parametrize("top", [-1, 8])
def test_a_strip_beside_the_image_is_an_error(top: int) -> None:
    with pytest.raises(
        ValueError,
        match=rf"backward_warp: flow=\(1, 2, 5, 9\) at top={top}, must have the size of image=\(1, 3, 12, 9\)",
    ):
        backward_warp(torch.rand(1, 3, 12, 9), torch.zeros(1, 2, 5, 9), top)


def test_the_torch_operator_keeps_its_promises() -> None:
    for given in op.WARP.sample_inputs():
        torch.library.opcheck(op.warp, given, test_utils=("test_schema", "test_faketensor"))
