"""Gradients of the operators that training needs, against finite differences in float64."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import gradcheck

from vsvfi.ops.lookup import correlate, lookup
from vsvfi.ops.splat import splat
from vsvfi.ops.warp import backward_warp


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def between(*shape: int) -> Tensor:
    """Displacements away from whole pixels, where bilinear sampling has no derivative."""
    whole = drawn(*shape, seed=1).round().clamp(-1, 1)
    return whole + 0.3 + 0.4 * torch.rand(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_warp_has_exact_gradients() -> None:
    image, flow = drawn(1, 2, 4, 5).requires_grad_(), between(1, 2, 4, 5).requires_grad_()
    assert gradcheck(backward_warp, (image, flow))


def test_splat_has_exact_gradients() -> None:
    values, flow = drawn(1, 2, 4, 5).requires_grad_(), between(1, 2, 4, 5).requires_grad_()
    assert gradcheck(lambda one, other: splat(one, other), (values, flow))


def test_lookup_has_exact_gradients() -> None:
    first, second = (drawn(1, 3, 4, 6, seed=seed).requires_grad_() for seed in (3, 4))
    grid = torch.stack(torch.meshgrid(torch.arange(6.0), torch.arange(4.0), indexing="xy"))[None].double()
    centres = (grid + between(1, 2, 4, 6)).requires_grad_()

    def found(one: Tensor, other: Tensor, places: Tensor) -> Tensor:
        return lookup(correlate(one, other, levels=2), places, 1)

    assert gradcheck(found, (first, second, centres))
