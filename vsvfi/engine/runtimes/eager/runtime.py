"""Run the network as it is written, operator by operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vsvfi.engine.runtimes.interface import Call, Piece, Runtime


class EagerRuntime(Runtime):
    """The definition of every other runtime, and what replaces one that fails."""

    summary = "operator by operator, on any device"

    def specialise(self, piece: Piece, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        return piece.eager


RUNTIME = EagerRuntime()
