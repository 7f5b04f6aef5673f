"""Order work on several streams of a device: each worker computes on its own, and values carry an event.

On a device without streams (the CPU, MPS) nothing here does anything.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from vsvfi.models.interpolator import tensors_of


class Streams(Protocol):
    """The streams of one device."""

    def current(self) -> Any:
        """The stream on which the calling thread's work runs."""
        ...

    def using(self, stream: Any) -> contextlib.AbstractContextManager[object]:
        """While active, the calling thread's work runs on this stream."""
        ...

    def create(self) -> Any:
        """A new stream."""
        ...

    def record(self) -> Any:
        """An event at this point of the current stream."""
        ...

    def wait(self, event: Any) -> None:
        """Let later work on the current stream wait for an event; the host does not wait."""
        ...

    def keep(self, tensor: Tensor, stream: Any) -> None:
        """Do not reuse the memory of a tensor, once it is freed, before the work queued on this stream is done."""
        ...


class CudaStreams:
    """The streams of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def current(self) -> torch.cuda.Stream:
        return torch.cuda.current_stream(self._device)

    def using(self, stream: torch.cuda.Stream) -> contextlib.AbstractContextManager[object]:
        return torch.cuda.stream(stream)

    def create(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def record(self) -> torch.cuda.Event:
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(self.current())
        return event

    def wait(self, event: torch.cuda.Event) -> None:
        self.current().wait_event(event)

    def keep(self, tensor: Tensor, stream: torch.cuda.Stream) -> None:
        tensor.record_stream(stream)


def streams_of(device: torch.device) -> Streams | None:
    """The streams of a device, or None if its work runs in one order."""
    return CudaStreams(device) if device.type == "cuda" and torch.cuda.is_available() else None


@dataclass(frozen=True, slots=True)
class Ordered[V]:
    """A value that was computed on one stream and may be used on others.

    Attributes:
        value: of tensors.
        stream: on which it was computed; None on devices without streams.
        ready: an event after its computation.
    """

    value: V
    stream: Any = None
    ready: Any = None


class Ordering:
    """Makes values of one stream usable on others.

    Args:
        streams: of the device, or None.
    """

    def __init__(self, streams: Streams | None) -> None:
        self._streams = streams

    def computed[V](self, value: V) -> Ordered[V]:
        """Mark a value that the current stream computes."""
        if self._streams is None:
            return Ordered(value)
        return Ordered(value, self._streams.current(), self._streams.record())

    def used[V](self, ordered: Ordered[V]) -> V:
        """Return the value for use on the current stream, whose later work waits until it is computed."""
        if self._streams is not None:
            current = self._streams.current()
            if current != ordered.stream:
                self._streams.wait(ordered.ready)
                for tensor in tensors_of(ordered.value):
                    self._streams.keep(tensor, current)
        return ordered.value


class StreamPool:
    """Lends each concurrent piece of work a stream of its own; the same few streams are used again.

    Args:
        streams: of the device, or None.
    """

    def __init__(self, streams: Streams | None) -> None:
        self._streams = streams
        self._free: list[Any] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """While active, the calling thread's work runs on a stream that no other thread uses."""
        if self._streams is None:
            yield
            return
        with self._lock:
            stream = self._free.pop() if self._free else self._streams.create()
        try:
            with self._streams.using(stream):
                yield
        finally:
            with self._lock:
                self._free.append(stream)
