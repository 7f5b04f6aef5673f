"""The tensors that go into and come out of a graph, by name.

ONNX graphs have no nested values: arguments and results are taken apart (`runtimes.signature`). A tensor that occurs
twice is listed once, and a result that is one of the arguments is no output.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from vsvfi.engine.runtimes.signature import Tree, split
from vsvfi.models.interpolator import Interpolator


@dataclass(frozen=True, slots=True)
class Result:
    """A tensor that a method returns.

    Attributes:
        name: of the output.
        argument: index of the argument that it is, or None if it is computed.
        shape, dtype: of the tensor.
    """

    name: str
    argument: int | None
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Interface:
    """Arguments and results of a method of a network, for arguments of certain shapes.

    Attributes:
        method: its name.
        arguments: positional and named ones, without their tensors.
        inputs: names of their tensors.
        results: their tensors.
        tree: what the method returns, without its tensors.
        convolves: it computes convolutions, so that it matters how it is run.
    """

    method: str
    arguments: Tree
    inputs: tuple[str, ...]
    results: tuple[Result, ...]
    tree: Tree
    convolves: bool

    @property
    def outputs(self) -> list[Result]:
        """The results that are computed."""
        return [result for result in self.results if result.argument is None]

    def returned(self, computed: Iterator[Tensor], given: Sequence[Tensor]) -> Any:
        """Put together what the method returns, from the outputs and the tensors of the arguments."""
        return self.tree.join(
            [next(computed) if result.argument is None else given[result.argument] for result in self.results]
        )


def interface_of(
    network: Interpolator[Any, Any], method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
) -> Interface:
    """Find out what a method returns, without computing it.

    Args:
        network: on any device.
        method: its name, such as "prepare_pair".
        args, kwargs: arguments of the right shapes, types and devices.
    """
    arguments, tensors = split((args, dict(kwargs or {})))
    # While gradients are recorded, networks neither remember constants nor write to their arguments
    watch = _Watch()
    with torch.inference_mode(False), torch.enable_grad(), FakeTensorMode(allow_non_fake_inputs=True) as mode, watch:
        fakes = [mode.from_tensor(tensor.detach()) for tensor in tensors]
        positional, named = arguments.join(fakes)
        result = getattr(network, method)(*positional, **named)
        tree, returned = split(result)
    inputs = _unique(_argument_names(getattr(network, method), args, dict(kwargs or {})))
    places = {id(fake): index for index, fake in enumerate(fakes)}
    named_results = _unique(_named(result, "" if _is_nested(result) else _SINGLE.get(method, "result")))
    results = [
        Result(name if name not in inputs else f"{name}_out", places.get(id(tensor)), tuple(tensor.shape), tensor.dtype)
        for name, tensor in zip(named_results, returned, strict=True)
    ]
    return Interface(method, arguments, tuple(inputs), tuple(results), tree, watch.convolves)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records whether convolutions were called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.convolves = False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.convolves |= function is torch.ops.aten.convolution.default
        return function(*args, **(kwargs or {}))


_SINGLE = {"encode_frame": "frame", "prepare_pair": "pair", "synthesise": "interpolated", "forward": "interpolated"}
"""Names of results that are a single tensor."""


def _argument_names(method: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Name the tensors of a call after its parameters; those of a pair are called as "prepare_pair" calls them."""
    for name, value in inspect.signature(method).bind(*args, **kwargs).arguments.items():
        if name == "inputs":  # the family's own, by their names
            yield from _named(value, "")
        else:
            yield from _named(value, "" if name == "pair" and _is_nested(value) else name)


def _named(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of a nested value, in the order of `split`, with names such as "first_features.0"."""
    if isinstance(value, Tensor):
        yield name, value
    for part, item in _parts(value):
        yield from _named(item, f"{name}.{part}" if name else part)


def _parts(value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, tuple | list):
        return [(str(index), item) for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(member.name, getattr(value, member.name)) for member in dataclasses.fields(value)]
    return []


def _is_nested(value: object) -> bool:
    return not isinstance(value, Tensor)


def _unique(named: Iterator[tuple[str, Tensor]]) -> list[str]:
    """The name of each different tensor."""
    found: dict[int, str] = {}
    kept = list(named)
    for name, tensor in kept:
        found.setdefault(id(tensor), name)
    return list(found.values())


def zeros_of(interface: Interface, given: Sequence[Tensor]) -> Any:
    """What the method returns, with zeros for what is computed: arguments of the next method."""
    computed = (torch.zeros(result.shape, dtype=result.dtype, device="cpu") for result in interface.outputs)
    return interface.returned(computed, given)
