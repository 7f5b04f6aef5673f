"""What holds for the phases of every network, whatever its weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vsvfi.engine.build import AnyInterpolator

type Near = Callable[[Tensor, Tensor], bool]


def within(tolerance: float) -> Near:
    """No pixel differs by more."""
    return lambda result, expected: float((result - expected).abs().max()) <= tolerance


def relatively_within(tolerance: float) -> Near:
    """In the L2 norm."""
    return lambda result, expected: float((result - expected).norm() / expected.norm()) < tolerance


def a_batch_equals_single_calls(network: AnyInterpolator, size: tuple[int, int], near: Near) -> None:
    """Three pairs at three times."""
    first, second, t = torch.rand(3, 3, *size), torch.rand(3, 3, *size), torch.tensor([0.2, 0.5, 0.9])
    with torch.inference_mode():
        together = network(first, second, t)
        for index in range(3):
            one = slice(index, index + 1)
            assert near(together[one], network(first[one], second[one], t[one]))


def several_times_of_one_pair_in_one_batch(network: AnyInterpolator, size: tuple[int, int], near: Near) -> None:
    """A state of one pair serves three times at once."""
    first, second, t = torch.rand(1, 3, *size), torch.rand(1, 3, *size), torch.tensor([0.125, 0.5, 0.75])
    with torch.inference_mode():
        pair = network.prepare_pair(network.encode_frame(first), network.encode_frame(second))
        together = network.synthesise(pair, t)
        alone = torch.cat([network.synthesise(pair, t[index : index + 1]) for index in range(3)])
    assert together.shape == (3, 3, *size)
    assert near(together, alone)


def phases_are_the_forward_pass_bit_for_bit_and_leave_no_trace(
    network: AnyInterpolator, size: tuple[int, int] = (32, 32)
) -> None:
    """Three pairs at two times in turn, each once more in the end."""
    images = torch.rand(4, 1, 3, *size)
    with torch.inference_mode():
        frames = [network.encode_frame(image) for image in images]
        pairs = [network.prepare_pair(frames[k], frames[k + 1]) for k in range(3)]
        times = (torch.tensor([0.3]), torch.tensor([0.7]))
        interleaved = {(k, i): network.synthesise(pairs[k], t) for i, t in enumerate(times) for k in (2, 0, 1)}
        for (k, i), result in interleaved.items():
            assert torch.equal(result, network(images[k], images[k + 1], times[i]))
            assert torch.equal(result, network.synthesise(pairs[k], times[i]))
