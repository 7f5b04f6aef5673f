"""Load, upload, clamp and pad the source frames of a request, and download the results."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vsvfi.engine.device_colour import DeviceColour
from vsvfi.engine.frame_format import Coding, FrameFormat
from vsvfi.engine.padding import Padding
from vsvfi.engine.transfers import Transfers

type Load = Callable[[int, Tensor], None]
"""Fills a host tensor with source frame k; values outside [0, 1] are kept.

The tensor is [1, 3, H, W] for RGB, and [frame_bytes] uint8 for a frame that is converted on the device.
"""

type Codings = Mapping[int, Coding]
"""How the source frames of a request are coded, by index."""


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
    """Source frames that the request of the calling thread loads into host memory.

    Args:
        device: where frames are needed.
        padding: to the network's input size.
        io_dtype: type in which RGB is transferred.
        frame_format: of the frames that are converted on the device, if any.
    """

    def __init__(
        self, device: torch.device, padding: Padding, io_dtype: torch.dtype, frame_format: FrameFormat | None = None
    ) -> None:
        self._device, self._padding, self._io_dtype = device, padding, io_dtype
        self._colour = None if frame_format is None else DeviceColour(frame_format, device)
        self._local = threading.local()

    @contextlib.contextmanager
    def loading(self, load: Load, codings: Codings | None = None) -> Iterator[None]:
        """While active, `read` on this thread calls `load`, for frames in RGB or, if `codings` are given, coded."""
        self._local.load, self._local.codings = load, codings
        try:
            yield
        finally:
            del self._local.load, self._local.codings

    def read(self, index: int) -> SourceFrame:
        """Source frame `index`, clamped to [0, 1] and padded."""
        transfers, codings = self._transfers(), self._local.codings
        if codings is not None:
            return self._read_coded(index, codings[index])
        staging = transfers.staging((1, 3, self._padding.height, self._padding.width), self._io_dtype)
        load: Load = self._local.load
        load(index, staging)
        low, high = (float(bound) for bound in staging.aminmax())
        return self._clamped(transfers.upload(staging), inside=low >= 0 and high <= 1)  # NaN compares false

    def _read_coded(self, index: int, coding: Coding) -> SourceFrame:
        """Load source frame `index` as the clip stores it, and convert it on the device."""
        colour, transfers = self._converter(), self._transfers()
        staging = transfers.staging((colour.format.frame_bytes,), torch.uint8)
        self._local.load(index, staging)
        image = colour.to_rgb(transfers.upload(staging, torch.uint8), coding)
        # Whether values exceed [0, 1] is not asked per frame: the host would have to wait for the answer.
        return self._clamped(image, inside=not colour.may_exceed(coding), finite=not colour.format.floating)

    def _clamped(self, image: Tensor, *, inside: bool, finite: bool = False) -> SourceFrame:
        """Pad an image [1, 3, H, W], and split off what is outside [0, 1] unless all of it is `inside`."""
        out_of_range = None
        if not inside:
            image = image if finite else torch.nan_to_num(image, nan=0.0, posinf=1.0, neginf=0.0)
            clamped = image.clamp(0, 1)
            out_of_range, image = image - clamped, clamped
        padded = self._padding.pad(image).contiguous(memory_format=torch.channels_last)
        return SourceFrame(padded, out_of_range)

    def download(self, image: Tensor, first: int, ends: Sequence[SourceFrame]) -> Tensor:
        """Convert and copy a result to the host; valid until the next download by the same thread.

        Args:
            image: [1, 3, H, W] on the device.
            first: index of the source frame before it, whose coding it gets.
            ends: the source frames before and after it.

        Returns:
            RGB [3, H, W]; for coded frames [frame_bytes] uint8.
        """
        codings: Codings | None = self._local.codings
        if codings is None:
            return self._transfers().download(image, self._io_dtype)[0]
        coding = codings[first]
        limits = self._limits(ends) if coding.scene_linear else None
        packed = self._converter().from_rgb(image, coding, limits)
        return self._transfers().download(packed, torch.uint8)

    def _limits(self, ends: Sequence[SourceFrame]) -> tuple[Tensor, Tensor]:
        """Lowest and highest values of each colour in the source frames, [1, 3, 1, 1]."""
        lows, highs = [], []
        for end in ends:
            image = self._padding.crop(end.image)
            image = image if end.out_of_range is None else image + end.out_of_range
            lows.append(image.amin((-2, -1), keepdim=True))
            highs.append(image.amax((-2, -1), keepdim=True))
        return torch.minimum(*lows), torch.maximum(*highs)

    def _converter(self) -> DeviceColour:
        """The conversions of coded frames."""
        assert self._colour is not None  # codings are only passed to a session that was given the format
        return self._colour

    def forget(self) -> None:
        """Drop every thread's buffers."""
        self._local = threading.local()

    def _transfers(self) -> Transfers:
        """This thread's copies and buffers."""
        transfers = getattr(self._local, "transfers", None)
        if not isinstance(transfers, Transfers):
            transfers = self._local.transfers = Transfers(self._device)
        return transfers
