"""Trace a method of a network for arguments of certain shapes to torch's export format."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from vsvfi.engine.onnx.decompositions import decompositions
from vsvfi.engine.onnx.interface import Interface
from vsvfi.engine.runtimes.signature import split
from vsvfi.models.interpolator import Interpolator


class _Flat(nn.Module):
    """A method as a module from a flat list of tensors to the outputs of its interface."""

    def __init__(self, network: Interpolator[Any, Any], interface: Interface) -> None:
        super().__init__()
        self.network, self._interface = network, interface

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        args, kwargs = self._interface.arguments.join(tensors)
        _, returned = split(getattr(self.network, self._interface.method)(*args, **kwargs))
        return tuple(
            tensor for tensor, result in zip(returned, self._interface.results, strict=True) if result.argument is None
        )


def exportable(network: Interpolator[Any, Any], dtype: torch.dtype | None = None) -> Interpolator[Any, Any]:
    """Return a copy of a network on the CPU that can be traced: no tensor of it was made in inference mode.

    Args:
        network: any, on any device.
        dtype: to convert its weights to.
    """
    with torch.no_grad(), torch.inference_mode(False):
        copied = copy.deepcopy(network)
        state = {
            name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in copied.state_dict().items()
        }
        if dtype is not None:
            state = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        copied.load_state_dict(state, strict=True, assign=True)
        copied.to("cpu").requires_grad_(False).prepare_operators()
    return copied


def trace(network: Interpolator[Any, Any], interface: Interface, tensors: list[Tensor]) -> torch.export.ExportedProgram:
    """Trace a method of an `exportable` network.

    Args:
        network: see above.
        interface: of the method.
        tensors: of its arguments; only shapes and types are used.
    """
    zeros = tuple(torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu") for tensor in tensors)
    # While gradients are recorded, networks neither remember constants nor write to their arguments
    with torch.inference_mode(False), torch.enable_grad():
        program = torch.export.export(_Flat(network, interface), zeros, strict=False)
        decomposed: torch.export.ExportedProgram = program.run_decompositions(decompositions())
    return decomposed
