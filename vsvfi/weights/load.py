"""From a weight file, or a state dict of the user's, to the tensors of one network: strictly, and without ever running
what a file asks for.

Knows containers and keys; nothing of any network (the caller says what is expected) and nothing of where files come
from.
"""

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
    """The named tensors of a checkpoint, on the CPU, under its own keys.

    A file is read by its content, whatever its name: safetensors, or torch's zip and older containers with
    `weights_only=True`. A dict inside "state_dict", "model" or "params" is taken out; a "module." that every key begins
    with is dropped. A folder with an ncnn model, or one of its two files, is read by `weights.ncnn`.

    Args:
        weights: a file, or a state dict, which gets the same treatment.
        mapped: where the container allows it, tensors are parts of the file that are read when they are looked at.
        Whoever keeps one makes a copy, since
            it changes with the file; what nobody looks at costs nothing.

    Raises:
        ArgumentError: there is no such file, it cannot be read, or the given dict is not one of names and tensors.
        DamagedWeightsError: the file is truncated, is no checkpoint, or holds anything but named tensors; names the
        file.
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
        raise ArgumentError("weights", str(path), "there is no such file", "check the path")
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
    """The tensors a network asks for, in its order and under its names: every one of them, and nothing else.

    Args:
        state: tensors under the published keys.
        expected: name here -> shape.
        origin: where `state` is from, for messages.
        model: whose weights these should be, for messages.
        ignored: regular expressions, matched from the beginning, for published keys that carry nothing for us.
        renamed: beginning of a published key -> what stands there in ours; the longest that fits is used.
        dtypes: name here -> type; integers are no floating-point numbers and the other way round, while their sizes may
        differ.

    Raises:
        ForeignWeightsError: keys are missing, left over or claimed twice, shapes or types differ, or values are not
        finite; names the first few.
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
    """Whatever a file holds, as long as nothing in it has to be run."""
    try:
        kind = container(path)
        if isinstance(kind, str):
            raise DamagedWeightsError(path, kind)
        if kind is Container.SAFETENSORS:
            tensors = safetensors.torch.load_file(path)
            return (
                tensors if mapped else {key: tensor.clone() for key, tensor in tensors.items()}
            )  # else they stay tied to the file on disk
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
    except Exception as error:  # a broken pickle fails in whatever way its first wrong byte means
        asked = re.search(r"GLOBAL (\w+(?:\.\w+)+)", str(error))
        if asked is not None:
            raise DamagedWeightsError(
                path, f"it asks for {asked[1]}, which is no part of a weight file, and was not opened"
            ) from error
        text = (
            str(error).rpartition("WeightsUnpickler error: ")[2].strip()
        )  # what torch says before that is advice to trust the file
        raise DamagedWeightsError(
            path, f"it is truncated or altered ({type(error).__name__}: {text.split(chr(10))[0][:120]})"
        ) from error


class _StandIn:
    """What stands for an object of a training framework beside the weights: takes whatever the file says of it, and is
    thrown away.
    """

    def __init__(self, *arguments: object, **named: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _empty_dict(*arguments: object) -> dict[object, object]:
    """What stands for a `defaultdict`, which settings are kept in; entries can be set in plain dicts alone."""
    return {}


def _check_index(file: BinaryIO, kind: Container) -> set[str]:
    """Check a checkpoint's pickles; returns the names of training frameworks that they ask for.

    Raises:
        PickleError: they are not to be followed.
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
    """Stand-ins for the names of training frameworks that a checkpoint asks for (call-backs and settings of PyTorch
    Lightning). No other name is let in.
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
