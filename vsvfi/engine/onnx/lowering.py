"""Turn a graph of opset 18 into one of opset 16 or 17, as TensorRT's parser and older runtimes read it.

Of the operators that changed between 16 and 18, exported networks use a few, always in the way that 16 knows too. The
converters of the onnx package fail on these graphs, since axes and sizes are not always initialisers there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsvfi.errors import ExportError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

OPSETS = (16, 17, 18)
"""GridSample needs 16. From 20 on its mode is called "linear", which TensorRT's parser silently reads as nearest."""

_IR_VERSION = 8  # of opsets 16 to 18

_SINCE_18 = {
    "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "CenterCropPad", "Col2Im", "GroupNormalization", "Mish",
    "OptionalHasElement",
}  # fmt: skip
_SINCE_17 = {"BlackmanWindow", "DFT", "HammingWindow", "HannWindow", "LayerNormalization", "MelWeightMatrix", "STFT"}


def lower(model: ModelProto, opset: int) -> None:
    """Change a model of opset 18 in place.

    Raises:
        ExportError: it uses what an older opset does not have.
    """
    model.ir_version = _IR_VERSION
    for entry in model.opset_import:
        if entry.domain == "":
            entry.version = opset
    _drop_unused(model)
    if opset >= 18:
        return
    constants = _constants(model)
    for node in model.graph.node:
        if node.op_type in _SINCE_18 or (opset < 17 and node.op_type in _SINCE_17):
            raise ExportError(f"opset {opset} has no operator {node.op_type}", "use --opset 18")
        if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum":  # which had this form already
            _axes_as_attribute(node, constants)
        for name in _NEW_ATTRIBUTES.get(node.op_type, ()):
            for attribute in [attribute for attribute in node.attribute if attribute.name == name]:
                node.attribute.remove(attribute)
        if node.op_type == "Pad" and len(node.input) > 3:
            raise ExportError(f"opset {opset} pads all axes", "use --opset 18")
    _drop_unused(model)


_NEW_ATTRIBUTES = {"Resize": ("antialias", "axes", "keep_aspect_ratio_policy"), "Split": ("num_outputs",)}
"""Attributes that have the values of older opsets in exported graphs; sizes of parts are explicit in Split."""


def _constants(model: ModelProto) -> dict[str, list[int]]:
    """Return the whole numbers among initialisers and constants, by name."""
    from onnx import TensorProto, numpy_helper

    found = {tensor.name: tensor for tensor in model.graph.initializer}
    found |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
    return {
        name: [int(value) for value in numpy_helper.to_array(tensor).ravel()]
        for name, tensor in found.items()
        if tensor.data_type == TensorProto.INT64
    }


def _drop_unused(model: ModelProto) -> None:
    """Drop weights and inputs that no node uses."""
    used = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    for kept in (model.graph.initializer, model.graph.input):
        for value in [value for value in kept if value.name not in used]:
            kept.remove(value)


def _axes_as_attribute(node: NodeProto, constants: dict[str, list[int]]) -> None:
    from onnx import helper

    if len(node.input) < 2:
        return
    axes = constants.get(node.input[1])
    if axes is None:
        raise ExportError(f"{node.op_type} has axes that are computed", "use --opset 18")
    del node.input[1]
    for attribute in [attribute for attribute in node.attribute if attribute.name == "noop_with_empty_axes"]:
        node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute("axes", axes))
