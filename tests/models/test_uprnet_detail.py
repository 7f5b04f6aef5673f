"""Detail that splatting blurs is restored: at fractions of a pixel alone, and towards the truth."""

from __future__ import annotations

import torch
from torch import Tensor

from vsvfi.models.uprnet.detail import restore_detail
from vsvfi.ops.warp import backward_warp


def noise(seed: int) -> Tensor:
    """A smooth image with detail of a few pixels."""
    drawn = torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(drawn, 5, 1, 2)


def displaced(x: float, y: float) -> tuple[Tensor, Tensor]:
    """Displacements of the first frame, and of the second one, which are opposite."""
    first = torch.tensor([x, y], dtype=torch.float32).reshape(1, 2, 1, 1).expand(1, 2, 40, 48)
    return first, -first


def test_whole_pixels_and_amount_zero_leave_the_image() -> None:
    image, half = noise(1), torch.tensor(0.5).reshape(1, 1, 1, 1)
    assert torch.equal(restore_detail(image, displaced(3, -2), half, 0.6), image)
    assert torch.equal(restore_detail(image, displaced(0, 0), half, 0.6), image)
    assert torch.equal(restore_detail(image, displaced(1.5, 0.5), half, 0.0), image)


def test_each_axis_is_sharpened_by_its_own_fraction() -> None:
    image, half = noise(2), torch.tensor(0.5).reshape(1, 1, 1, 1)
    rows = image.mean(3, keepdim=True).expand_as(image).contiguous()  # varies from row to row alone
    assert torch.allclose(restore_detail(rows, displaced(1.5, 2), half, 0.6), rows, atol=1e-6)
    assert not torch.allclose(restore_detail(rows, displaced(2, 1.5), half, 0.6), rows, atol=1e-3)


def test_what_bilinear_weights_blur_comes_back() -> None:
    """An image moved by half a pixel is nearer to the finely drawn truth, at either end of the interval too."""
    fine = torch.nn.functional.interpolate(noise(3), scale_factor=4, mode="bicubic")
    image, truth = fine[..., ::4, ::4], fine[..., 2::4, 2::4]
    moved = backward_warp(image, torch.full((1, 2, 40, 48), 0.5))
    inside = (..., slice(2, -2), slice(2, -2))
    before = float((moved - truth)[inside].square().mean())
    for t in (0.5, 0.25, 0.75):
        times = torch.tensor(t).reshape(1, 1, 1, 1)
        made = restore_detail(moved, displaced(0.5, 0.5), times, 0.6)
        assert float((made - truth)[inside].square().mean()) < 0.9 * before
