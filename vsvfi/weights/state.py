"""Extract plain named tensors from a checkpoint or state dict, or explain why that is impossible."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor

from vsvfi.errors import shown, type_name
from vsvfi.options.values import is_a

_NESTS = ("state_dict", "model", "params")
_PREFIXES = ("module.", "state_dict.")  # left by data-parallel wrappers and by converters
_DEEPEST_NEST = 8
_MOST_TENSORS = 100_000


def named_tensors(held: object) -> dict[str, Tensor] | str:
    """Return the tensors of a checkpoint's content, or why it is not a state dict."""
    for _ in range(_DEEPEST_NEST):
        inner = _nested(held)
        if inner is None:
            break
        held = inner
    else:
        return f"dicts are nested more than {_DEEPEST_NEST} deep in it, or in themselves"
    if not is_a(held, Mapping):
        return f"it holds a {type_name(held)}"
    assert isinstance(held, Mapping)
    keys = list(itertools.islice(iter(held), _MOST_TENSORS + 1))
    if not keys:
        return "it is empty"
    if len(keys) > _MOST_TENSORS:
        return f"it has more than {_MOST_TENSORS} entries"
    state = {}
    for key in keys:
        value = held[key]
        if not is_a(key, str):
            return f"the key {shown(key)} is not a name"
        fault = tensor_fault(value)
        if fault is not None:
            return f"{shown(key)} {fault}"
        state[str.__str__(key)] = plain_tensor(value)
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _nested(held: object) -> object | None:
    """Return the nested dict with the weights of a checkpoint, or None."""
    if not is_a(held, Mapping):
        return None
    assert isinstance(held, Mapping)
    found: list[object] = [held[nest] for nest in _NESTS if nest in held]
    return next((inner for inner in found if is_a(inner, Mapping)), None)


def tensor_fault(value: object) -> str | None:
    """Why a value is not a plain tensor of numbers, or None."""
    kind = type(value)
    if not issubclass(kind, Tensor):
        return f"is a {type_name(value)}"
    if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return f"is a {type_name(value)}, not a plain tensor"
    with torch._C.DisableTorchFunctionSubclass():
        assert isinstance(value, Tensor)
        if value.is_nested or value.layout is not torch.strided or value.is_quantized or value.is_meta:
            return "is not a plain tensor"
        if value.dtype.is_complex or value.dtype is torch.bool:
            return f"is {str(value.dtype).removeprefix('torch.')}, not real numbers"
        reach = (
            value.storage_offset() + sum((size - 1) * stride for size, stride in zip(value.shape, value.stride())) + 1
        )
        if value.numel() and reach * value.element_size() > value.untyped_storage().nbytes():
            return "has lost its storage"
    return None


def plain_tensor(value: object) -> Tensor:
    """Convert a tensor that passed `tensor_fault` to a plain one, without gradients and subclass."""
    assert isinstance(value, Tensor)
    with torch._C.DisableTorchFunctionSubclass():
        return value.detach().as_subclass(Tensor)
