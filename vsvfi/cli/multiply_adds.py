"""Count the multiply-adds of a network: of its layers as publications count them, and of vsvfi's operators.

torch counts convolutions, matrix products and attention (for a transposed convolution what it computes; some published
figures count it at the size of its result, four times as much). What it misses or counts wrongly is added here:
operators of vsvfi, and the local correlation, which is computed as matrix products that are larger than the correlation
itself.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from vsvfi.ops import correlation

type Shape = Sequence[int]

_BILINEAR = 4
"""Multiply-adds of a sample between pixels, for each channel."""


def _scan(u: Shape, delta: Shape, a: Shape, *others: Any, out_shape: Shape, **named: Any) -> int:
    """Per token, channel and state: the state decays, takes in the input, and is read."""
    _, paths, length, channels = delta
    return 2 * u[0] * paths * length * channels * (3 * a[-1] + 1)


def _splat(values: Sequence[Shape], displacement: Shape, weight: Any = None, *, out_shape: Any, **named: Any) -> int:
    """Every value and the weight go to four pixels."""
    pixels = displacement[0] * prod(displacement[2:])
    return 2 * _BILINEAR * pixels * (sum(value[1] for value in values) + 1)


def _lookup(
    levels: Sequence[Shape], source: Shape | None, centres: Shape, radius: int, *, out_shape: Any, **named: Any
) -> int:
    """A window of samples in every level; on demand also the products that they are taken from."""
    window, around = (2 * radius + 1) ** 2, (2 * radius + 2) ** 2
    products = 0 if source is None else around * source[1]
    return 2 * centres[0] * prod(centres[2:]) * len(levels) * (_BILINEAR * window + products)


def _sepconv(
    image: Shape, vertical: Shape, horizontal: Shape, alpha: Shape, *others: Any, out_shape: Any, **named: Any
) -> int:
    """Every tap is a sample times its row's, its column's and its own weight."""
    return 2 * prod(alpha) * (image[1] * (_BILINEAR + 1) + 2)


def _warp_pair(first: Shape, second: Shape, flow: Shape, *others: Any, out_shape: Any, **named: Any) -> int:
    """Both images are sampled at each pixel of the reduced size, where reduction reads two by two of them."""
    _, _, step, _ = others
    pixels = flow[0] * prod(flow[2:]) // step**2
    return 2 * _BILINEAR * pixels * min(step, 2) ** 2 * (first[1] + second[1])


def _blend_pair(first: Shape, second: Shape, flow: Shape, mask: Shape, *, out_shape: Any, **named: Any) -> int:
    """Both images are sampled and mixed."""
    return 2 * flow[0] * prod(flow[2:]) * 3 * (2 * _BILINEAR + 1)


def _grid_sample(image: Shape, grid: Shape, *others: Any, out_shape: Shape, **named: Any) -> int:
    return 2 * _BILINEAR * prod(out_shape)


_OWN: dict[str, Callable[..., int]] = {
    "scan": _scan,
    "splat": _splat,
    "lookup": _lookup,
    "sepconv": _sepconv,
    "warp_pair": _warp_pair,
    "blend_pair": _blend_pair,
}


def parameters(network: torch.nn.Module) -> int:
    """The number of weights."""
    return sum(weight.numel() for weight in network.parameters())


def multiply_adds(call: Callable[[], object]) -> dict[str, int]:
    """Multiply-adds of one call, by kind: "layers" (convolutions, matrix products, attention), and operators.

    Args:
        call: runs the network once.
    """
    import vsvfi.ops.lookup
    import vsvfi.ops.refinement
    import vsvfi.ops.scan
    import vsvfi.ops.sepconv
    import vsvfi.ops.splat  # noqa: F401 - each registers its operators

    own = {getattr(torch.ops.vsvfi, name): count for name, count in _OWN.items()}
    mapping: dict[Any, Any] = {**own, torch.ops.aten.grid_sampler_2d: _grid_sample}
    counter = FlopCounterMode(display=False, custom_mapping=mapping)
    with _exact_correlation(counter) as correlated, counter:
        call()
    counts = {str(name): flops // 2 for name, flops in counter.get_flop_counts()["Global"].items()}
    kinds = {f"vsvfi.{name}": name for name in _OWN} | {"aten.grid_sampler_2d": "warp"}
    found = {kind: counts.pop(name) for name, kind in kinds.items() if name in counts}
    layers = sum(counts.values()) - correlated["counted"] // 2
    return {"layers": layers, **({"correlation": correlated["own"]} if correlated["own"] else {}), **found}


@contextlib.contextmanager
def _exact_correlation(counter: FlopCounterMode) -> Iterator[dict[str, int]]:
    """Record multiply-adds of local correlations while active.

    "counted" is what torch counts for them, in flops.
    """
    original = correlation.local_correlation
    noted = {"counted": 0, "own": 0}

    def counted(first: torch.Tensor, second: torch.Tensor, radius: int) -> torch.Tensor:
        before = counter.get_total_flops()
        result = original(first, second, radius)
        noted["counted"] += counter.get_total_flops() - before
        noted["own"] += first.numel() * (2 * radius + 1) ** 2
        return result

    users = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("vsvfi.models.") and getattr(module, "local_correlation", None) is original
    ]
    try:
        for module in users:
            setattr(module, "local_correlation", counted)  # noqa: B010 - a name of other modules
        yield noted
    finally:
        for module in users:
            setattr(module, "local_correlation", original)  # noqa: B010
