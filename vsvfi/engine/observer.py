"""Watch what a session computes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from typing import Literal

type Phase = Literal["encode_frame", "prepare_pair", "synthesise"]

PHASES: tuple[Phase, ...] = ("encode_frame", "prepare_pair", "synthesise")


class Observer:
    """Does nothing; override what is of interest. Any thread may call, several at the same time."""

    def phase(self, phase: Phase, positions: Sequence[Fraction]) -> AbstractContextManager[object]:
        """A context around one call of the network.

        Args:
            phase: which of the network's phases.
            positions: on the source axis, in source frames: of the frame that is encoded, of both frames of a pair, or
                of the frames that are synthesised in one batch.
        """
        return nullcontext()
