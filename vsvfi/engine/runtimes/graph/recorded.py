"""A call that is recorded once and replayed: inputs are copied in, results are copied out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from vsvfi.engine.runtimes.interface import Call
from vsvfi.engine.runtimes.signature import split
from vsvfi.models.blocks.constants import holding_constants


class Graphs(Protocol):
    """Records work on a device."""

    def context(self) -> Hashable:
        """Identify the stream on which the calling thread's work runs."""
        ...

    def lock(self) -> threading.RLock:
        """The lock of this stream: its graphs share memory, so between the inputs and results of one none may run."""
        ...

    def record(self, work: Callable[[], object]) -> tuple[object, Callable[[], None]]:
        """Run the work for warm-up, then record it.

        Returns:
            The result, whose tensors a replay fills again, and a function that replays the work on this stream.
        """
        ...


class Recorded:
    """A recorded call, for arguments of one kind.

    Recorded work reads and writes the same addresses in every replay: static tensors hold the inputs, and what may
    be cached by the caller is copied. Constants that the work reads are kept alive.

    Args:
        graphs: record the work.
        call: the work; pure, without waiting for the device.
        args, kwargs: of the first call.
    """

    def __init__(self, graphs: Graphs, call: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        tree, tensors = split((args, dict(kwargs)))
        self._lock = graphs.lock()
        with self._lock:
            self._inputs = [static_like(tensor) for tensor in tensors]
            self._fill(tensors)
            static_args, static_kwargs = tree.join(self._inputs)
            with holding_constants() as self._constants:
                result, self._replay = graphs.record(lambda: call(*static_args, **static_kwargs))
        self._tree, outputs = split(result)
        self._copies = Copies(outputs, self._inputs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _, tensors = split((args, kwargs))
        with self._lock:
            self._fill(tensors)
            self._replay()
            return self._tree.join(self._copies.make(tensors))

    def _fill(self, tensors: Sequence[Tensor]) -> None:
        for static, given in zip(self._inputs, tensors, strict=True):
            without_repeats(static).copy_(without_repeats(given))


class Copies:
    """Makes results that do not share memory with those of later replays.

    Tensors that share a storage share one in the copies too. Those that lie in the storage of an input become the
    same part of the input that the caller gave.

    Args:
        outputs: the static results.
        inputs: the static inputs.
    """

    def __init__(self, outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
        given = {_address(tensor): index for index, tensor in enumerate(inputs)}
        self._outputs = list(outputs)
        self._from_input = [given.get(_address(output)) for output in outputs]
        self._starts = [
            output.storage_offset() - (0 if index is None else inputs[index].storage_offset())
            for output, index in zip(outputs, self._from_input)
        ]

    def make(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Copy the results of the last replay, whose inputs these are."""
        copied: dict[tuple[int, torch.dtype], Tensor] = {}
        made = []
        for output, index, start in zip(self._outputs, self._from_input, self._starts):
            if index is None:
                key = _address(output), output.dtype
                if key not in copied:
                    copied[key] = _flat(output).clone()
                base, offset = copied[key], start
            else:
                base, offset = tensors[index], tensors[index].storage_offset() + start
            made.append(base.as_strided(output.shape, output.stride(), offset))
        return made


def static_like(tensor: Tensor) -> Tensor:
    """An uninitialised tensor with the same sizes, strides, type and device."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device)


def without_repeats(tensor: Tensor) -> Tensor:
    """The part of an expanded tensor that holds its values: one index of each dimension of stride 0."""
    for dimension, stride in enumerate(tensor.stride()):
        if stride == 0 and tensor.shape[dimension] > 1:
            tensor = tensor.narrow(dimension, 0, 1)
    return tensor


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _flat(tensor: Tensor) -> Tensor:
    """All values of a tensor's storage, in one dimension."""
    return tensor.as_strided((tensor.untyped_storage().nbytes() // tensor.element_size(),), (1,), 0)
