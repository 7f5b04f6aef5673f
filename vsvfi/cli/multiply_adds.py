"""Count the multiply-adds of a network: of its layers as publications count them, and of vsvfi's operators.

torch counts convolutions, matrix products and attention (for a transposed convolution what it computes; some published
figures count it at the size of its result, four times as much). What it misses or counts wrongly is added here:
operators of vsvfi, and the local correlation, which is computed as matrix products that are larger than the correlation
itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from vsvfi.ops.correlation import reference
from vsvfi.ops.correlation.op import CORRELATION
from vsvfi.ops.dispatch import BILINEAR, Operator, Shape, operators


def _grid_sample(image: Shape, grid: Shape, *others: Any, out_shape: Shape, **named: Any) -> int:
    return 2 * BILINEAR * prod(out_shape)


def _attention(query: Shape, key: Shape, value: Shape, *others: Any, out_shape: Any, **named: Any) -> int:
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _flops(operator: Operator[..., object]) -> Callable[..., int]:
    def flops(*args: Any, out_shape: Any, **named: Any) -> int:
        return 2 * operator.multiply_adds(*args, **named)

    return flops


def parameters(network: torch.nn.Module) -> int:
    """The number of weights."""
    return sum(weight.numel() for weight in network.parameters())


def multiply_adds(call: Callable[[], object]) -> dict[str, int]:
    """Multiply-adds of one call, by kind: "layers" (convolutions, matrix products, attention), and operators.

    Args:
        call: runs the network once.
    """
    own = operators()
    mapping: dict[Any, Any] = {getattr(torch.ops.vsvfi, operator.name): _flops(operator) for operator in own}
    mapping[torch.ops.aten.grid_sampler_2d] = _grid_sample
    mapping[torch.ops.aten._scaled_dot_product_flash_attention_for_cpu] = _attention  # torch counts it from 2.15
    counter = FlopCounterMode(display=False, custom_mapping=mapping)
    with _exact_correlation(counter) as correlated, counter:
        call()
    counts = {str(name): flops // 2 for name, flops in counter.get_flop_counts().get("Global", {}).items()}
    found = {operator.name: counts.pop(f"vsvfi.{operator.name}", 0) for operator in own}
    found["warp"] += counts.pop("aten.grid_sampler_2d", 0)
    found["correlation"] += correlated["own"]
    layers = sum(counts.values()) - correlated["counted"] // 2
    return {"layers": layers, **{name: count for name, count in found.items() if count}}


@contextlib.contextmanager
def _exact_correlation(counter: FlopCounterMode) -> Iterator[dict[str, int]]:
    """Record multiply-adds of the definition of local correlation while active.

    "counted" is what torch counts for its matrix products, in flops.
    """
    original = reference.local_correlation
    noted = {"counted": 0, "own": 0}

    def counted(first: torch.Tensor, second: torch.Tensor, radius: int) -> torch.Tensor:
        before = counter.get_total_flops()
        result = original(first, second, radius)
        if products := counter.get_total_flops() - before:  # none are seen inside the operator, which counts itself
            noted["counted"] += products
            noted["own"] += CORRELATION.multiply_adds(first.shape, second.shape, radius)
        return result

    try:
        setattr(reference, "local_correlation", counted)  # noqa: B010 - a function of another module
        yield noted
    finally:
        setattr(reference, "local_correlation", original)  # noqa: B010
