"""Write a method of a network as an ONNX model.

torch's exporter by tracing into `torch.export` (`dynamo=True`) is used: the older one by TorchScript is deprecated,
cannot decompose our operators, and records values of the sample input as constants.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vsvfi.engine.onnx.interface import Interface
from vsvfi.engine.onnx.lowering import OPSETS, lower
from vsvfi.engine.onnx.tracing import trace
from vsvfi.errors import ArgumentError, ExportError
from vsvfi.models.interpolator import Interpolator
from vsvfi.packages import load, one_line

if TYPE_CHECKING:
    from onnx import ModelProto

EXPORT_PACKAGES = ("onnx", "onnxscript")
_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "onnx")


def check_packages() -> None:
    """Check that what writes ONNX is installed.

    Raises:
        ExportError: a package is missing or broken.
    """
    for name in EXPORT_PACKAGES:
        found = load(name)
        if isinstance(found, str):
            raise ExportError(f"the package {name} cannot be imported ({found})", "pip install 'vsvfi[onnx]'")


def export_method(
    network: Interpolator[Any, Any],
    interface: Interface,
    tensors: list[Tensor],
    *,
    opset: int = 18,
    notes: Mapping[str, str] | None = None,
) -> ModelProto:
    """Export a method of a network.

    Args:
        network: see `tracing.exportable`.
        interface: of the method.
        tensors: of its arguments; only shapes and types are used.
        opset: 16 to 18.
        notes: metadata of the model.

    Raises:
        ArgumentError: there is no such opset.
        ExportError: packages are missing, or the network contains what ONNX cannot express.
    """
    if opset not in OPSETS:
        raise ArgumentError("opset", opset, "must be 16, 17 or 18", "leave it out for 18")
    check_packages()
    with _quiet():
        try:
            written = torch.onnx.export(
                trace(network, interface, tensors),
                (),
                dynamo=True,
                opset_version=18,
                input_names=interface.inputs,
                output_names=[result.name for result in interface.outputs],
                verbose=False,
            )
        except Exception as error:  # whatever a tracer or a converter meets in a network
            raise ExportError(
                f"{interface.method} of {type(network).__name__} cannot be exported ({one_line(error)})",
                "use another model",
            ) from error
    assert written is not None
    model = written.model_proto
    _strip(model)
    lower(model, opset)
    _describe(model, notes or {})
    return model


def _strip(model: ModelProto) -> None:
    """Remove traces of the source code from nodes, which are larger than small networks and name local files."""
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    model.graph.ClearField("metadata_props")
    model.ClearField("metadata_props")
    model.graph.ClearField("doc_string")


def _describe(model: ModelProto, notes: Mapping[str, str]) -> None:
    version = metadata.version("vsvfi")
    model.producer_name, model.producer_version, model.graph.name = "vsvfi", version, "vsvfi"
    for key, value in notes.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's notes, which concern its own packages."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
