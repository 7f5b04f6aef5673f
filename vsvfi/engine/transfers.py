"""Copy images between host and device in parallel with the computation.

Uses staging buffers and separate streams on CUDA; on the CPU nothing is copied between devices. Each worker thread has
its own object and reuses its buffers for every call.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Transfers:
    """Host <-> device copies of one worker thread.

    On CUDA: reused pinned staging buffers and separate upload and download streams, synchronised with the computation,
    so that the copies of one frame overlap the computation of another thread's. Elsewhere: plain copies, and none at
    all on the CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._staging: dict[tuple[tuple[int, ...], torch.dtype], Tensor] = {}
        self._staged: torch.cuda.Event | None = None
        self._landing: dict[tuple[tuple[int, ...], torch.dtype], Tensor] = {}
        self._streams = (_stream(device), _stream(device)) if device.type == "cuda" else None

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return the tensor to write an image to before `upload`.

        The reused pinned buffer on CUDA; elsewhere a new tensor, since on the CPU it may become the image itself.
        """
        if self._streams is None:
            return torch.empty(shape, dtype=dtype, device="cpu")
        if self._staged is not None:
            self._staged.synchronize()  # the last upload has left the buffer
        return _pinned(self._staging, shape, dtype)

    def upload(self, image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Copy the image to the device in `dtype`, ready for the current stream."""
        if self._streams is None:
            return image.to(self.device, dtype)
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._streams[0]):
            moved = image.to(self.device, non_blocking=True)
            self._staged = _record()
        current.wait_stream(self._streams[0])
        moved.record_stream(current)
        return moved.to(dtype)

    def download(self, image: Tensor, dtype: torch.dtype) -> Tensor:
        """Copy the image to the host in `dtype`; valid until the next download by the same thread."""
        if self._streams is None:
            return image.to("cpu", dtype)
        image = image.to(dtype).contiguous()
        self._streams[1].wait_stream(torch.cuda.current_stream(self.device))
        landing = _pinned(self._landing, tuple(image.shape), dtype)
        with torch.cuda.stream(self._streams[1]):
            landing.copy_(image, non_blocking=True)
            image.record_stream(self._streams[1])
            landed = _record()
        landed.synchronize()  # releases the GIL
        return landing


def _pinned(
    buffers: dict[tuple[tuple[int, ...], torch.dtype], Tensor], shape: tuple[int, ...], dtype: torch.dtype
) -> Tensor:
    """The pinned buffer of this shape and type, created when it is first needed."""
    if (shape, dtype) not in buffers:
        buffers[shape, dtype] = torch.empty(shape, dtype=dtype, device="cpu", pin_memory=True)
    return buffers[shape, dtype]


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _record() -> torch.cuda.Event:
    """An event at this point of the current stream."""
    event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # a waiting thread sleeps
    event.record()
    return event
