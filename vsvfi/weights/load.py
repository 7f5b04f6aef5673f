"""Load the tensors of one network strictly from a weight file or state dict, without running code from files."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from vsvfi.errors import ArgumentError, DamagedWeightsError, ForeignWeightsError, shown, type_name
from vsvfi.weights import ncnn
from vsvfi.weights.archive import zipped_index
from vsvfi.weights.integrity import Container, container, open_regular
from vsvfi.weights.integrity import verify as verify
from vsvfi.weights.pickled import PickleError, check_pickle
from vsvfi.weights.state import named_tensors

_FRAMEWORKS = ("pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.")
_OF_SETTINGS = ("typing.Any", "builtins.dict", "builtins.list", "builtins.int")
_stand_ins_lock = threading.Lock()  # what torch lets in is one set for all threads


def load_state(weights: str | os.PathLike[str] | Mapping[str, Tensor], *, mapped: bool = False) -> dict[str, Tensor]:
    """Read the named tensors of a checkpoint to the CPU, under its own keys.

    The format is detected by content, not by name: safetensors, or torch's zip and older containers with
    `weights_only=True`. A nested dict "state_dict", "model" or "params" is extracted, and a "module." prefix of every
    key removed. A folder with an ncnn model, or one of its two files, is read by `weights.ncnn`.

    With `mapped`, tensors are backed by the file if the container allows it, and read on access. They change with the
    file, so callers must copy what they keep.

    Args:
        weights: a file, or a state dict, which is treated in the same way.
        mapped: whether to memory-map the file.

    Raises:
        ArgumentError: the file does not exist or cannot be read, or the dict does not map names to tensors.
        DamagedWeightsError: the file is truncated, or is not a checkpoint of named tensors; names the file.
    """
    if isinstance(weights, Mapping):
        try:
            state = named_tensors(weights)
        except Exception as error:  # a mapping or a tensor whose methods raise
            state = f"it cannot be read ({type_name(error)})"
        if isinstance(state, str):
            remedy = "pass model.state_dict(), or a path"
            raise ArgumentError("weights", type_name(weights), f"must map names to tensors, but {state}", remedy)
        return state
    path = Path(weights)
    converted = ncnn.find_model(path)
    if converted is not None:
        return ncnn.read_model(*converted)
    if not path.is_file():
        raise ArgumentError("weights", str(path), "does not exist", "check the path")
    state = named_tensors(_read(path, mapped))
    if isinstance(state, str):
        raise DamagedWeightsError(path, f"it is not a checkpoint of named tensors: {state}")
    return state


def match_state(
    state: Mapping[str, Tensor],
    expected: Mapping[str, Sequence[int]],
    *,
    origin: str,
    model: str,
    ignored: tuple[str, ...] = (),
    renamed: Mapping[str, str] | None = None,
    dtypes: Mapping[str, torch.dtype] | None = None,
) -> dict[str, Tensor]:
    """Return exactly the tensors that a network expects, in its order and under its names.

    Integer and floating-point types must not be confused, but their sizes may differ.

    Args:
        state: tensors under the published keys.
        expected: network key -> shape.
        origin: where `state` is from, for messages.
        model: the expected model's name, for messages.
        ignored: regular expressions, matched from the start, for published keys that are not needed.
        renamed: prefix of published keys -> prefix of network keys; the longest match is used.
        dtypes: network key -> type.

    Raises:
        ForeignWeightsError: keys are missing, unknown or duplicate, or shapes, types or values are wrong.
    """
    found: dict[str, Tensor] = {}
    twice: list[str] = []
    for key, tensor in state.items():
        if any(re.match(pattern, key) for pattern in ignored):
            continue
        name = _rename(key, renamed or {})
        if name in found:
            twice.append(f"{shown(name)} (again as {shown(key)})")
        found[name] = tensor
    missing = [f"{name!r} {list(shape)}" for name, shape in expected.items() if name not in found]
    unexpected = [
        f"{shown(name)} {shown(list(tensor.shape))}" for name, tensor in found.items() if name not in expected
    ]
    misshapen = [
        f"{name!r} is {shown(list(found[name].shape))}, must be {list(shape)}"
        for name, shape in expected.items()
        if name in found and tuple(found[name].shape) != tuple(shape)
    ]
    mistyped = [
        f"{name!r} is {str(found[name].dtype).removeprefix('torch.')}, must be {str(dtype).removeprefix('torch.')}"
        for name, dtype in (dtypes or {}).items()
        if name in found and found[name].dtype.is_floating_point != dtype.is_floating_point
    ]
    faults = [
        *_listed("missing", missing, len(expected)),
        *_listed("unexpected", unexpected, len(found)),
        *_listed("of another shape", misshapen, len(expected)),
        *_listed("of another type", mistyped, len(expected)),
        *_listed("there twice", twice, len(found)),
    ]
    if not faults:
        infinite = [repr(name) for name in expected if not _is_finite(found[name])]
        faults = _listed("not finite (NaN or infinity)", infinite, len(expected))
    if faults:
        raise ForeignWeightsError(origin, model, "; ".join(faults))
    return {name: found[name] for name in expected}


def _read(path: Path, mapped: bool) -> object:
    """Read the content of a file, and refuse files that need to run code."""
    try:
        kind = container(path)
        if isinstance(kind, str):
            raise DamagedWeightsError(path, kind)
        if kind is Container.SAFETENSORS:
            tensors = safetensors.torch.load_file(path)
            # Else they stay backed by the file on disk
            return tensors if mapped else {key: tensor.clone() for key, tensor in tensors.items()}
        with open_regular(path) as file:  # given a path, torch goes by the name: it takes any "*.safetensors" for one
            stand_ins = _stand_ins(_check_index(file, kind))
            if kind is Container.PICKLE:
                return torch.load(file, map_location="cpu", weights_only=True)
            with _stand_ins_lock, torch.serialization.safe_globals(stand_ins):
                by_name = mapped and path.suffix != ".safetensors"
                return torch.load(path if by_name else file, map_location="cpu", weights_only=True, mmap=by_name)
    except DamagedWeightsError:
        raise
    except PickleError as error:
        raise DamagedWeightsError(path, str(error)) from error
    except OSError as error:
        raise ArgumentError(
            "weights", str(path), f"cannot be read ({error.strerror or error})", "check its permissions and the disk"
        ) from error
    except Exception as error:  # a broken pickle can raise anything
        asked = re.search(r"GLOBAL (\w+(?:\.\w+)+)", str(error))
        if asked is not None:
            raise DamagedWeightsError(
                path, f"it asks for {asked[1]}, which is no part of a weight file, and was not opened"
            ) from error
        # The text before it advises to trust the file
        text = str(error).rpartition("WeightsUnpickler error: ")[2].strip()
        raise DamagedWeightsError(
            path, f"it is truncated or altered ({type(error).__name__}: {text.split(chr(10))[0][:120]})"
        ) from error


class _StandIn:
    """Placeholder for an object of a training framework in a checkpoint; accepts any state and is discarded."""

    def __init__(self, *arguments: object, **named: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _empty_dict(*arguments: object) -> dict[object, object]:
    """Replacement for `defaultdict` in stored settings, since torch only sets entries of plain dicts."""
    return {}


def _check_index(file: BinaryIO, kind: Container) -> set[str]:
    """Check a checkpoint's pickles; return the names of training frameworks that they import.

    Raises:
        PickleError: a pickle must not be loaded.
    """
    if kind is Container.ZIP:
        index, sizes = zipped_index(file)
        asked = check_pickle(index, _is_framework, sizes)
    else:
        size = os.fstat(file.fileno()).st_size
        # A mark, a version, the machine, the content, and the order of its storages, which come after it.
        asked = set().union(*(check_pickle(file, _no_framework, size) for _ in range(5)))
    file.seek(0)
    return asked


def _is_framework(name: str) -> bool:
    return name.startswith(_FRAMEWORKS) or name in _OF_SETTINGS


def _no_framework(name: str) -> bool:
    return False


def _stand_ins(asked: Iterable[str]) -> list[Callable[..., object] | tuple[Callable[..., object], str]]:
    """Create placeholders for the training framework names that a checkpoint imports.

    These are callbacks and settings of PyTorch Lightning; no other names are allowed.
    """
    return [
        *((type(name.rpartition(".")[2], (_StandIn,), {}), name) for name in asked),
        (_empty_dict, "collections.defaultdict"),
    ]


def _is_finite(tensor: Tensor) -> bool:
    """Whether every value is finite, as float32 holds it."""
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor.to(torch.float32)).all())


def _rename(key: str, renamed: Mapping[str, str]) -> str:
    prefix = max((prefix for prefix in renamed if key.startswith(prefix)), key=len, default=None)
    return key if prefix is None else renamed[prefix] + key[len(prefix) :]


def _listed(what: str, entries: Iterable[str], of: int, shown: int = 3) -> list[str]:
    """["2 of 104 missing: 'a' [3], 'b' [4]"], or nothing."""
    entries = list(entries)
    if not entries:
        return []
    more = ", ..." if len(entries) > shown else ""
    return [f"{len(entries)} of {of} {what}: {', '.join(entries[:shown])}{more}"]
