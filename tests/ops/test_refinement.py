"""Steps between the blocks of a flow network against their definitions, in torch and in native code."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from vsvfi.ops.refinement import add_flow, blend_pair, op, reference, warm_up, warp_pair
from vsvfi.ops.warp import backward_warp, resize_bilinear

NATIVE = {operator.name: operator.kernels[0].run for operator in (op.WARP_PAIR, op.BLEND_PAIR, op.ADD_FLOW)}
FORMS = ["reference", "llvmlite"]


def kernel(name: str, chosen: str) -> Callable[..., Tensor]:
    function: Callable[..., Tensor] = getattr(reference, name) if chosen == "reference" else NATIVE[name]
    return function


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def images(batch: int, channels: int, last: bool) -> Tensor:
    made = normal(batch, channels, 32, 48)
    return made.contiguous(memory_format=torch.channels_last) if last else made


@pytest.mark.parametrize("chosen", FORMS)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("step", "ratio"), [(1, 1), (1, 4), (2, 1), (2, 2), (4, 2), (8, 1), (16, 1)])
@pytest.mark.parametrize(("channels", "kept"), [(3, 1), (7, 9), (19, 9)])
def test_the_input_of_a_block(channels: int, kept: int, step: int, ratio: int, last: bool, chosen: str) -> None:
    """Everything warped at full size and reduced, side by side."""
    first, second, flow = images(1, channels, last), images(2, channels, last), 5 * normal(2, 4, 32, 48)
    state, times = normal(2, kept, 32 // step // ratio, 48 // step // ratio), torch.tensor([0.2, 0.7])
    found = kernel("warp_pair", chosen)(first, second, flow, state, times, step, ratio)
    warped = (backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:]), flow / step)
    one, two, moved = (resize_bilinear(values, Fraction(1, step)) for values in warped)
    plane = times.reshape(2, 1, 1, 1).expand(-1, 1, *moved.shape[2:])
    expected = torch.cat((one, two, plane, resize_bilinear(state, Fraction(ratio)), moved), 1)
    assert torch.allclose(found, expected, atol=2e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("chosen", FORMS)
@pytest.mark.parametrize("channels", [3, 4, 7])
def test_the_blend(channels: int, chosen: str) -> None:
    first, second, flow, mask = (
        images(2, channels, True),
        images(1, channels, False),
        5 * normal(2, 4, 32, 48),
        normal(2, 1, 32, 48).sigmoid(),
    )
    expected = backward_warp(first[:, :3], flow[:, :2]) * mask + backward_warp(second[:, :3], flow[:, 2:]) * (1 - mask)
    assert torch.allclose(kernel("blend_pair", chosen)(first, second, flow, mask), expected, atol=2e-5)


@pytest.mark.parametrize("chosen", FORMS)
@pytest.mark.parametrize("step", [1, 2, 8, 32])
def test_the_sum_of_flows(step: int, chosen: str) -> None:
    """A view of some channels of a larger tensor, as in a block."""
    change, flow = (
        normal(2, 13, 3, 5).contiguous(memory_format=torch.channels_last)[:, :4],
        normal(2, 4, 3 * step, 5 * step),
    )
    expected = resize_bilinear(change, Fraction(step)) * step
    assert torch.allclose(kernel("add_flow", chosen)(None, change, step), expected, atol=1e-4)
    assert torch.allclose(kernel("add_flow", chosen)(flow, change, step), flow + expected, atol=1e-4)


@pytest.mark.parametrize("chosen", FORMS)
@pytest.mark.parametrize(("number", "place"), [(math.nan, 5), (math.inf, 11), (-math.inf, 0), (1e30, 11)])
def test_a_flow_that_is_broken_stays_in_the_image(number: float, place: int, chosen: str) -> None:
    """Not a number is no motion, infinity the border."""
    image, flow = normal(1, 3, 4, 12), torch.zeros(1, 4, 4, 12)
    flow[0, 0, 2, 5] = number
    found = kernel("blend_pair", chosen)(image, image, flow, torch.ones(1, 1, 4, 12))
    expected = image.clone()
    expected[:, :, 2, 5] = image[:, :, 2, place]
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_bits_do_not_depend_on_threads(threads: int) -> None:
    """Of a size that is worth several."""
    first, second, flow = normal(1, 3, 192, 256), normal(1, 3, 192, 256, seed=1), 9 * normal(1, 4, 192, 256)
    mask = normal(1, 1, 192, 256).sigmoid()
    arguments = (first, second, flow, mask[:, :, ::2, ::2], torch.tensor([0.5]), 2, 1)
    before = torch.get_num_threads()
    expected = (
        NATIVE["warp_pair"](*arguments),
        NATIVE["blend_pair"](first, second, flow, mask),
        NATIVE["add_flow"](flow, flow, 1),
    )
    try:
        torch.set_num_threads(threads)
        found = (
            NATIVE["warp_pair"](*arguments),
            NATIVE["blend_pair"](first, second, flow, mask),
            NATIVE["add_flow"](flow, flow, 1),
        )
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("operator", [op.WARP_PAIR, op.BLEND_PAIR, op.ADD_FLOW], ids=lambda operator: operator.name)
def test_torch_knows_the_operators(operator: object) -> None:
    """Schema, shapes and strides without running, and tracing."""
    chosen = {"warp_pair": op.warp_pair, "blend_pair": op.blend_pair, "add_flow": op.add_flow}[operator.name]  # type: ignore[attr-defined]
    torch.library.opcheck(chosen, next(operator.sample_inputs()), test_utils=("test_schema", "test_faketensor"))  # type: ignore[attr-defined]
    assert operator.self_test("llvmlite") is None  # type: ignore[attr-defined]


def test_gradients_are_those_of_the_definition() -> None:
    first, second, mask = normal(1, 3, 8, 8), normal(1, 3, 8, 8, seed=1), normal(1, 1, 8, 8).sigmoid()
    flow = normal(1, 4, 8, 8).requires_grad_()
    change = normal(1, 4, 4, 4).requires_grad_()
    total = add_flow(flow, change, 2)
    x = warp_pair(first, second, total, mask, torch.tensor([0.5]), 1, 1)
    (x.sum() + blend_pair(first, second, total, mask).sum()).backward()
    assert float(flow.grad.abs().sum()) > 0 < float(change.grad.abs().sum())  # type: ignore[union-attr]


def test_sizes_must_fit() -> None:
    image, flow, times = normal(1, 3, 8, 8), normal(1, 4, 8, 8), torch.tensor([0.5])
    with pytest.raises(
        ValueError,
        match=r"warp_pair: first=.*state=\(1, 1, 8, 8\), must fit flow=\(1, 4, 8, 8\) at step=2, "
        r"ratio=1; pad the images first",
    ):
        warp_pair(image, image, flow, normal(1, 1, 8, 8), times, 2, 1)
    with pytest.raises(ValueError, match=r"warp_pair: first=\(1, 3, 4, 4\)"):
        warp_pair(image[:, :, :4, :4], image, flow, normal(1, 1, 8, 8), times, 1, 1)


def test_native_code_is_made_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    from vsvfi.ops.refinement import cpu

    cpu._compiled_warp.cache_clear()
    warm_up(7, 9, [(2, 2), (1, 2)], torch.device("cpu"))
    assert cpu._compiled_warp.cache_info().misses >= 2
    before = cpu._compiled_warp.cache_info().misses
    image, flow = normal(1, 7, 8, 8), normal(1, 4, 8, 8)
    warp_pair(image, image, flow, normal(1, 9, 2, 2), torch.tensor([0.5]), 2, 2)
    assert cpu._compiled_warp.cache_info().misses == before
