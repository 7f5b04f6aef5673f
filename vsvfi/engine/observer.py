"""Observe the network calls of a session."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from typing import Literal

type Phase = Literal["encode_frame", "prepare_pair", "synthesise"]

PHASES: tuple[Phase, ...] = ("encode_frame", "prepare_pair", "synthesise")


class Observer:
    """Base class for observers; does nothing. Its methods are called from several threads concurrently."""

    def phase(self, phase: Phase, positions: Sequence[Fraction]) -> AbstractContextManager[object]:
        """Return a context manager that is active during one network call.

        Args:
            phase: the phase of the network.
            positions: of the encoded frame, the pair's two frames, or the synthesised batch, in source frames.
        """
        return nullcontext()
