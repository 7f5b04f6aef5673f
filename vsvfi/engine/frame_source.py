"""Load, upload, clamp and pad the source frames of a request, and download the results."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vsvfi.engine.padding import Padding
from vsvfi.engine.transfers import Transfers

type Load = Callable[[int, Tensor], None]
"""Fills a [1, 3, H, W] host tensor with source frame k, RGB; values outside [0, 1] are kept."""


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A source frame in the form that networks take.

    Attributes:
        image: [1, 3, H, W] in [0, 1], padded, float32, on the device.
        out_of_range: [1, 3, H, W] unpadded, the clamped-off part (super-white, super-black, highlights); may be None.
    """

    image: Tensor
    out_of_range: Tensor | None


class FrameSource(Protocol):
    """Provides a pipeline with source frames."""

    def read(self, index: int) -> SourceFrame:
        """Source frame `index`."""
        ...


class HostFrames:
    """Source frames that the request of the calling thread loads into host memory."""

    def __init__(self, device: torch.device, padding: Padding, io_dtype: torch.dtype) -> None:
        self._device, self._padding, self._io_dtype = device, padding, io_dtype
        self._local = threading.local()

    @contextlib.contextmanager
    def loading(self, load: Load) -> Iterator[None]:
        """While active, `read` on this thread calls `load`."""
        self._local.load = load
        try:
            yield
        finally:
            del self._local.load

    def read(self, index: int) -> SourceFrame:
        """Source frame `index`, clamped to [0, 1] and padded."""
        transfers = self._transfers()
        staging = transfers.staging((1, 3, self._padding.height, self._padding.width), self._io_dtype)
        load: Load = self._local.load
        load(index, staging)
        low, high = (float(bound) for bound in staging.aminmax())
        image = transfers.upload(staging)
        out_of_range = None
        if not (low >= 0 and high <= 1):  # NaN compares false
            image = torch.nan_to_num(image, nan=0.0, posinf=1.0, neginf=0.0)
            clamped = image.clamp(0, 1)
            out_of_range, image = image - clamped, clamped
        padded = self._padding.pad(image).contiguous(memory_format=torch.channels_last)
        return SourceFrame(padded, out_of_range)

    def download(self, image: Tensor) -> Tensor:
        """[1, 3, H, W] on the device -> [3, H, W] on the host; valid until the next download by the same thread."""
        return self._transfers().download(image, self._io_dtype)[0]

    def forget(self) -> None:
        """Drop every thread's buffers."""
        self._local = threading.local()

    def _transfers(self) -> Transfers:
        """This thread's copies and buffers."""
        transfers = getattr(self._local, "transfers", None)
        if not isinstance(transfers, Transfers):
            transfers = self._local.transfers = Transfers(self._device)
        return transfers
