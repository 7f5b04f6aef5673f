"""Compare a written graph with the network: validity by the onnx package, values by ONNX Runtime on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vsvfi.engine.onnx.interface import Interface
from vsvfi.engine.runtimes.comparison import BOUNDS, Deviation, deviation
from vsvfi.errors import ExportError
from vsvfi.packages import load, one_line

if TYPE_CHECKING:
    from onnx import ModelProto

_LEAST_PSNR = {torch.float32: 60.0, torch.float16: 45.0}


@dataclass(frozen=True, slots=True)
class Verified:
    """How near a graph is to the network: see `Deviation`; PSNR in dB for graphs that return an image."""

    deviation: Deviation
    psnr: float | None


def check_structure(model: ModelProto) -> None:
    """Check a model against the ONNX standard, with shapes and types inferred.

    Raises:
        ExportError: it breaks a rule.
    """
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # its errors have no common type
        raise ExportError(
            f"the graph is not valid ONNX ({one_line(error)})", "report it with the model's name"
        ) from error


def compare(
    model: ModelProto, interface: Interface, tensors: Sequence[Tensor], expected: Sequence[Tensor], dtype: torch.dtype
) -> Verified:
    """Run a model on the CPU and compare its outputs.

    Args:
        model: see `export.export_method`.
        interface: of the method.
        tensors: of its arguments.
        expected: what the network returns for them, in float32; as many as the interface has results.
        dtype: of the exported weights.

    Raises:
        ExportError: ONNX Runtime is missing or refuses the model, or the outputs are too far apart.
    """
    runtime = load("onnxruntime")
    if isinstance(runtime, str):
        raise ExportError(
            f"the graph cannot be checked: onnxruntime cannot be imported ({runtime})",
            "pip install 'vsvfi[onnx]', or pass --no-check",
        )
    types = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
    settings = runtime.SessionOptions()
    settings.log_severity_level, settings.intra_op_num_threads = 3, torch.get_num_threads()
    given = dict(zip(interface.inputs, tensors, strict=True))
    try:
        session = runtime.InferenceSession(
            model.SerializeToString(), settings, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        feed = {value.name: given[value.name].to(types[value.type]).numpy() for value in session.get_inputs()}
        found = [torch.from_numpy(output) for output in session.run(None, feed)]
    except Exception as error:  # its errors have no common type
        raise ExportError(f"onnxruntime cannot run the graph ({one_line(error)})", "use another --opset") from error
    wanted = [tensor for tensor, result in zip(expected, interface.results, strict=True) if result.argument is None]
    there = deviation(found, wanted)
    is_image = [result.name for result in interface.outputs] == ["interpolated"]
    psnr = _psnr(found[0], wanted[0]) if is_image else None
    most, least = BOUNDS[dtype], _LEAST_PSNR[dtype]
    if not (there.relative <= most.relative and there.largest <= most.largest and (psnr is None or psnr >= least)):
        shown = "" if psnr is None else f", {psnr:.1f} dB (at least {least:.0f})"
        raise ExportError(
            f"the graph does not compute what the network does: relative error {there.relative:.1e} (at most "
            f"{most.relative:.0e}), largest difference {there.largest:.1e} (at most {most.largest:.0e}){shown}",
            "use another --opset, or --precision fp32",
        )
    return Verified(there, psnr)


def _psnr(found: Tensor, wanted: Tensor) -> float:
    error = float((found.double() - wanted.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)
