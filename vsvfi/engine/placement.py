"""Where a network runs, in which type, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """A runtime by name, and its provider if one was named."""

    name: str
    provider: str | None = None

    @classmethod
    def of(cls, text: str) -> RuntimeChoice:
        """Split "name" or "name:provider"."""
        name, _, provider = text.partition(":")
        return cls(name, provider or None)

    def __str__(self) -> str:
        return self.name if self.provider is None else f"{self.name}:{self.provider}"


AUTO = RuntimeChoice("auto")
"""Chosen for each device, see `registry.choose`."""

EAGER = RuntimeChoice("eager")


@dataclass(frozen=True, slots=True)
class Placement:
    """A device, the type it computes in, and the runtime that runs networks there."""

    device: torch.device
    dtype: torch.dtype
    runtime: RuntimeChoice = EAGER
