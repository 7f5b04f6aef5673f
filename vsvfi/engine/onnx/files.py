"""Write phases of a model as ONNX files for other programs, each compared with the network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.engine.build import LoadedModel
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.onnx.export import check_packages, export_method
from vsvfi.engine.onnx.interface import Interface, interface_of, zeros_of
from vsvfi.engine.onnx.lowering import OPSETS
from vsvfi.engine.onnx.tracing import exportable
from vsvfi.engine.onnx.verify import Verified, check_structure, compare
from vsvfi.engine.padding import Padding
from vsvfi.engine.placement import Placement
from vsvfi.engine.runtimes.signature import split
from vsvfi.errors import ArgumentError, ExportError
from vsvfi.models.interpolator import Interpolator

METHODS = {"encode": "encode_frame", "prepare": "prepare_pair", "synthesise": "synthesise", "all": "forward"}
"""Phases that can be exported; "all" is the whole network in one graph."""

_BEFORE = {"encode": (), "prepare": ("encode",), "synthesise": ("encode", "prepare"), "all": ()}
_TIME = 0.375


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to write.

    Attributes:
        phase: a key of `METHODS`.
        size: width and height of the padded frames.
        opset: of `OPSETS`.
        half: float16 weights; flow, grids and sampling stay float32.
        check: compare the graph with the network.
    """

    phase: str
    size: tuple[int, int]
    opset: int = 18
    half: bool = False
    check: bool = True


def check_wanted(config: ModelConfig, wanted: Wanted) -> None:
    """Check what can be checked without weights.

    Raises:
        ArgumentError: the opset, or a size that the network does not take.
        ExportError: the family cannot be exported, or packages are missing.
    """
    variant, family = config.variant, config.family
    if reason := family.unexportable(variant):
        raise ExportError(f"{variant.name} cannot be exported: {reason}", family.export_remedy)
    if wanted.opset not in OPSETS:
        raise ArgumentError("opset", wanted.opset, "must be 16, 17 or 18", "leave it out for 18")
    if wanted.half and not variant.half:
        raise ArgumentError("fp16", True, f"is not accurate enough for {variant.name}", "leave it out")
    width, height = wanted.size
    padding = Padding.of(config.build_config(width, height), width, height)
    if padding.needed:
        fitting = f"{padding.left + width + padding.right}x{padding.top + height + padding.bottom}"
        raise ArgumentError(
            "size", f"{width}x{height}", f"is not one that {variant.name} computes at", f"use {fitting} and pad frames"
        )
    check_packages()


def write_phase(config: ModelConfig, loaded: LoadedModel, wanted: Wanted) -> tuple[bytes, Interface, Verified | None]:
    """Export one phase; arguments have been checked.

    Returns:
        The file's contents, the names of its inputs and outputs, and the comparison if there was one.

    Raises:
        ExportError: see `export_method` and `verify`.
    """
    width, height = wanted.size
    build = config.build_config(width, height)
    cpu = torch.device("cpu")
    network = loaded.network(build, Placement(cpu, torch.float16 if wanted.half else torch.float32))
    copied = exportable(network)
    (args, interface), method = _arguments(copied, wanted), METHODS[wanted.phase]
    _, tensors = split((args, {}))
    same = {
        result.name: interface.inputs[result.argument] for result in interface.results if result.argument is not None
    }
    notes = {
        "model": config.variant.name,
        "licence of the weights": config.variant.licence,
        "phase": wanted.phase,
        "size": f"{width}x{height}",
        "scale": str(build.scale),
        "precision": "fp16" if wanted.half else "fp32",
        "results that are arguments": json.dumps(same),
    }
    model = export_method(copied, interface, tensors, opset=wanted.opset, notes=notes)
    check_structure(model)
    verified = None
    if wanted.check:
        exact = loaded.network(build, Placement(cpu, torch.float32)) if wanted.half else network
        given, expected = _sample(exact, wanted.size, method)
        verified = compare(model, interface, given, expected, torch.float16 if wanted.half else torch.float32)
    return bytes(model.SerializeToString()), interface, verified


def _arguments(network: Interpolator[Any, Any], wanted: Wanted) -> tuple[tuple[Any, ...], Interface]:
    """Arguments of the phase, all zero, and its interface, from the interfaces of the phases before it."""
    shape = 1, 3, wanted.size[1], wanted.size[0]
    image, t = (torch.zeros(size, dtype=torch.float32, device="cpu") for size in (shape, (1,)))
    args: tuple[Any, ...] = (image, image.clone(), t) if wanted.phase == "all" else (image,)
    for earlier in _BEFORE[wanted.phase]:
        made: Callable[[], Any] = _maker(network, METHODS[earlier], args)
        args = (made(), made()) if earlier == "encode" else (made(), t)
    return args, interface_of(network, METHODS[wanted.phase], args)


def _maker(network: Interpolator[Any, Any], method: str, args: tuple[Any, ...]) -> Callable[[], Any]:
    """Return what makes results of a method, of tensors of their own each time."""
    interface = interface_of(network, method, args)

    def make() -> Any:
        return zeros_of(interface, [tensor.clone() for tensor in split((args, {}))[1]])

    return make


def _sample(network: Interpolator[Any, Any], size: tuple[int, int], method: str) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors of real arguments of a method, and of its results: two smooth random images, one moved."""
    width, height = size
    shape = 1, 3, max(height // 16, 2), max(width // 16, 2)
    generator = torch.Generator("cpu").manual_seed(1)
    coarse = torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")
    first = functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    second, t = first.roll((2, 3), (2, 3)), torch.full((1,), _TIME, dtype=torch.float32, device="cpu")
    with torch.inference_mode():
        if method == "forward":
            args: tuple[Any, ...] = (first, second, t)
        else:
            args = (first,)
            if method != "encode_frame":
                args = (network.encode_frame(first), network.encode_frame(second))
            if method == "synthesise":
                args = (network.prepare_pair(*args), t)
        result = getattr(network, method)(*args)
    return split((args, {}))[1], split(result)[1]
