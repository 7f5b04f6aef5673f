"""A batch of training samples as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Two frames, the true frame between them, and flows where they are known.

    Attributes:
        first, second, truth: [B, 3, H, W] RGB in [0, 1].
        t: [B].
        flow: [B, 4, H, W] in pixels, from t to the first frame and to the second; a teacher's or exact.
        motion: [B, 4, H, W], from the first frame to the second and back.
        still: [B] bool, where nothing moves.
    """

    first: Tensor
    second: Tensor
    truth: Tensor
    t: Tensor
    flow: Tensor | None = None
    motion: Tensor | None = None
    still: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Move to a device."""
        return Batch(*(None if value is None else value.to(device, non_blocking=True) for value in self._values()))  # type: ignore[arg-type]

    def _values(self) -> tuple[Tensor | None, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)
