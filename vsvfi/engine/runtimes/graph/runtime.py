"""Run pieces as CUDA graphs: all kernels of a piece in one launch."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from vsvfi.engine.runtimes.interface import Call, Piece, Runtime

if TYPE_CHECKING:
    from vsvfi.engine.runtimes.graph.recorded import Graphs


class GraphRuntime(Runtime):
    """Record each piece once per stream and kind of arguments, then replay it.

    Launching a thousand small kernels from Python takes longer than running them.

    Args:
        graphs: how work is recorded; CUDA graphs if None.
    """

    summary = "CUDA graphs: one launch per phase"
    memory_share = 0.7  # static inputs and results: at most this for UPR-Net, VFIMamba and IFRNet
    default_on = frozenset({"cuda"})

    def __init__(self, graphs: Graphs | None = None) -> None:
        self._given = graphs

    @functools.cached_property
    def _graphs(self) -> Graphs:
        from vsvfi.engine.runtimes.graph.cuda import CudaGraphs

        return CudaGraphs() if self._given is None else self._given

    def obstacle(self, device: str, provider: str | None = None) -> str | None:
        if device != "cuda":
            return "it needs a CUDA device"
        import torch

        return "torch is built for ROCm" if torch.version.hip else None

    def context(self) -> Hashable:
        return self._graphs.context()

    def specialise(self, piece: Piece, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        from vsvfi.engine.runtimes.graph.recorded import Recorded

        return Recorded(self._graphs, piece.eager, args, kwargs)


RUNTIME = GraphRuntime()
