"""Run code as on a CUDA device that this machine lacks: fake tensors, and a watch for what would stall there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from tests.models.live_bytes import LiveBytes, pretend_weights
from vsvfi.engine.build import AnyInterpolator

DEVICE = "cuda"

_VIEWS = {
    *(
        "view",
        "_unsafe_view",
        "view_as",
        "expand",
        "slice",
        "select",
        "permute",
        "transpose",
        "t",
        "unsqueeze",
        "alias",
    ),
    *("squeeze", "split", "split_with_sizes", "unbind", "detach", "as_strided", "unfold", "diagonal", "lift_fresh"),
    *("empty", "empty_strided", "empty_like", "new_empty"),
}
"""Operators that launch nothing."""

_WAITS = {"_local_scalar_dense", "equal", "nonzero", "is_nonzero", "masked_select", "_unique2", "bincount"}
"""Operators for which the host waits for the device, or whose result's size depends on data."""


class StallError(AssertionError):
    """An operator that the steady state must not contain."""


class Watch(LiveBytes):
    """Count dispatched kernels, and refuse operators that wait for the device or mix devices.

    A convolution with a bias counts twice, since cuDNN adds it separately. An operator of ours counts once among
    `launches`, and in `kernels` as all kernels and clears of memory that it takes (`KERNELS`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.kernels = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        space, name = function._schema.name.split("::")
        given = [leaf for leaf in tree_leaves((arguments, keywords)) if isinstance(leaf, Tensor)]
        devices = {tensor.device.type for tensor in given}
        if name in _WAITS and DEVICE in devices:
            raise StallError(f"{name} waits for the device")
        if len(devices) > 1:
            raise StallError(f"{name} mixes devices: {[(tensor.device.type, tuple(tensor.shape)) for tensor in given]}")
        result = super().__torch_dispatch__(function, types, arguments, keywords)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        waits = not (keywords or {}).get("non_blocking") or DEVICE in devices
        if waits and devices and {tensor.device.type for tensor in made} - devices:
            raise StallError(f"{name} copies between devices")
        if space != "prim" and name not in _VIEWS:
            self.launches[name] += 1
            self.kernels += KERNELS[name](*arguments) if name in KERNELS else 1
            if name == "convolution" and arguments[2] is not None:
                self.launches["bias"] += 1
                self.kernels += 1
        return result


KERNELS: dict[str, Any] = {
    "normalise": lambda *arguments: 2,
    "splat": lambda values, *others: 2 + 3 * len(values),  # weights, and for each value its sums and their division
}
"""How many kernels an operator of ours launches and clears of memory it needs, by its name, from its arguments."""


@contextmanager
def fake_cuda() -> Iterator[Watch]:
    """Make fake tensors, on a device that may be missing, without gradients; activate the returned watch to use it."""
    with FakeTensorMode(), torch.inference_mode(False), torch.no_grad():
        yield Watch()


def on_fake_cuda(network: AnyInterpolator, dtype: torch.dtype) -> AnyInterpolator:
    """Give a network (on the meta device) fake weights on CUDA, and prepare its operators."""

    def of(place: str) -> torch.dtype:
        return torch.float32 if f"{place}.".startswith(network.full_precision) else dtype

    pretend_weights(network, of, DEVICE)
    network.prepare_operators()
    return network


def fake_image(height: int, width: int) -> Tensor:
    """An image [1, 3, H, W] as the engine passes it."""
    made = torch.empty(1, 3, height, width, dtype=torch.float32, device=DEVICE)
    return made.contiguous(memory_format=torch.channels_last)
