"""Make a phase of a network a graph, load it with a provider, and call it like the phase."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch

from vsvfi.engine.onnx.export import EXPORT_PACKAGES, export_method
from vsvfi.engine.onnx.interface import Interface, interface_of
from vsvfi.engine.onnx.tracing import exportable
from vsvfi.engine.runtimes.interface import Call, Piece, Runtime
from vsvfi.engine.runtimes.onnx import providers, store
from vsvfi.engine.runtimes.signature import split
from vsvfi.errors import ExportError
from vsvfi.models.family import Family, Variant
from vsvfi.packages import is_installed, load


class OnnxRuntime(Runtime):
    """ONNX Runtime, for devices that torch does not support or that TensorRT is faster on."""

    summary = "ONNX Runtime"
    providers = tuple(providers.PROVIDERS)

    def obstacle(self, device: str, provider: str | None = None) -> str | None:
        for name in EXPORT_PACKAGES:
            if not is_installed(name):
                return f"the package {name} is not installed; pip install 'vsvfi[onnx]'"
        if provider is not None:
            return providers.obstacle(device, provider)
        return None if providers.chosen(device) else providers.obstacle(device, "cuda" if device == "cuda" else "cpu")

    def declines(self, family: Family, variant: Variant) -> str | None:
        reason = family.unexportable(variant)
        return f"{reason}; {family.export_remedy}" if reason else None

    def context(self) -> Hashable:
        """The current stream, on which sessions run."""
        return torch.cuda.current_stream().cuda_stream if torch.cuda.is_available() else None

    def specialise(self, piece: Piece, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Load the graph of a phase; phases without convolutions are left to torch, which is as fast."""
        from vsvfi.engine.runtimes.onnx.session import GraphSession

        device, dtype = piece.placement.device, piece.placement.dtype
        name = piece.placement.runtime.provider or providers.chosen(device.type)
        assert name is not None  # `obstacle`
        interface = interface_of(piece.network, piece.name, args, kwargs)
        if not interface.convolves:
            return piece.eager
        key, path = self._graph(piece, interface, args, kwargs)
        threads = torch.get_num_threads()
        engines = store.folder() / name / store.digest(key, name, _runtime_version())
        options = providers.options(name, dtype, device, engines, threads)
        session = GraphSession(path, name, options, device, threads)
        used = [interface.inputs.index(given) for given in session.inputs]
        types = [result.dtype for result in interface.outputs]

        def call(*args: Any, **kwargs: Any) -> Any:
            _, tensors = split((args, kwargs))
            computed = session([tensors[index] for index in used])
            typed = (tensor.to(dtype) for tensor, dtype in zip(computed, types, strict=True))
            return interface.returned(typed, tensors)

        return call

    def _graph(self, piece: Piece, interface: Interface, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The key and the file of a phase's graph. bfloat16, which few providers know, is left to the provider."""
        _, tensors = split((args, dict(kwargs)))
        wide = torch.float32 if piece.placement.dtype == torch.bfloat16 else None
        shapes = [(tuple(tensor.shape), tensor.dtype) for tensor in tensors]
        key = store.digest(
            store.weights_digest(piece.network), type(piece.network).__qualname__, piece.variant.config, piece.build,
            interface, shapes, wide,
        )  # fmt: skip

        def write() -> bytes:
            network = exportable(piece.network, wide)
            given = [tensor.to(wide) if wide and tensor.dtype == torch.bfloat16 else tensor for tensor in tensors]
            notes = {"model": piece.variant.name, "method": piece.name}
            try:
                return bytes(export_method(network, interface, given, notes=notes).SerializeToString())
            except ExportError as error:  # not the user's error: eager execution replaces it
                raise RuntimeError(str(error)) from error

        return key, store.graph(key, write)


def _runtime_version() -> str:
    runtime = load("onnxruntime")
    return str(getattr(runtime, "__version__", runtime))


RUNTIME = OnnxRuntime()
