"""Read the weights of ncnn models.

A model is a .param text with the layers, and a .bin with their values in the same order, without names.

Reads convolutions, transposed convolutions and PReLUs, as named tensors `ncnn.<number>.<type>.<layer>.<weight or bias>`
in the order of the file. Other layers with weights are refused, since the size of their values is unknown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.errors import ArgumentError, DamagedWeightsError
from vsvfi.weights.integrity import open_regular

_MAGIC = "7767517"
_FLOAT16, _INT8 = 0x01306B47, 0x000D4B38
_FLOAT32 = (0, 0x0002C056)
_WITH_VALUES = re.compile(
    "(Bias|Scale|Gemm|Embed|LSTM|GRU|RNN|MemoryData|InnerProduct|MultiHeadAttention|Normalize|\\w+Norm|\\w*[Qq]uantize|(Dec|C)onvolution\\w+)"
)
_LARGEST = 1 << 28  # values of one layer
_LONGEST_TEXT, _LARGEST_VALUES = 4 << 20, 1 << 30
"""Maximum bytes of the two files, far above those of supported models."""


def find_model(path: Path) -> tuple[Path, Path] | None:
    """Find the .param and .bin of a path: a folder with one of each, or either file; None for other paths.

    Raises:
        ArgumentError: a folder with several models, or one file without the other.
    """
    if path.is_dir():
        found = sorted(path.glob("*.param"))
        if not found:
            return None
        if len(found) > 1:
            raise ArgumentError(
                "weights", str(path), f"is a folder with {len(found)} .param files", "pass the path of one of them"
            )
        path = found[0]
    if path.suffix not in (".param", ".bin"):
        return None
    description, values = path.with_suffix(".param"), path.with_suffix(".bin")
    if not description.is_file():
        return None  # a checkpoint of another kind may be called .bin
    if not values.is_file():
        raise ArgumentError(
            "weights",
            str(path),
            f"has no {values.name} in its folder",
            "put both files of the ncnn model into one folder",
        )
    return description, values


@dataclass(slots=True)
class _Values:
    """The bytes of a .bin and the read position."""

    path: Path
    data: bytes
    at: int = 0

    def take(self, count: int, kind: str, layer: str) -> Tensor:
        """Read `count` numbers of a type, as float32."""
        size = count * np.dtype(kind).itemsize
        if self.at + size > len(self.data):
            raise DamagedWeightsError(
                self.path,
                f"it ends inside the values of layer {layer!r}: truncated, or of another model than its .param",
            )
        values = np.frombuffer(self.data, kind, count, self.at).astype(np.float32)
        self.at += size
        return torch.from_numpy(values)

    def weights(self, count: int, layer: str) -> Tensor:
        """Read numbers preceded by a flag for their storage format."""
        flag = int.from_bytes(self.data[self.at : self.at + 4], "little")
        self.at += 4
        if flag == _FLOAT16:
            values = self.take(count, "<f2", layer)
            self.at += -2 * count % 4
            return values
        if flag not in _FLOAT32:
            kind = "8-bit integers" if flag == _INT8 else f"numbers of an unknown kind (flag {flag:#010x})"
            raise DamagedWeightsError(self.path, f"layer {layer!r} holds {kind}, must be 32-bit or 16-bit floats")
        return self.take(count, "<f4", layer)


def _read(path: Path, most: int) -> bytes:
    """Read a file.

    Raises:
        DamagedWeightsError: the file has more than `most` bytes.
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise DamagedWeightsError(path, f"it has {size} bytes, a file of an ncnn model has at most {most}")
        return file.read(size)


def read_model(description: Path, values: Path) -> dict[str, Tensor]:
    """Read all tensors of an ncnn model.

    Weights are [out, in, ky, kx] for convolutions and [in, out, ky, kx] for transposed convolutions.

    Raises:
        ArgumentError: a file cannot be read.
        DamagedWeightsError: the files are not an ncnn model, do not match, or have unsupported layers.
    """
    try:
        lines = _read(description, _LONGEST_TEXT).decode("utf-8", "replace").splitlines()
        source = _Values(values, _read(values, _LARGEST_VALUES))
    except OSError as error:
        raise ArgumentError(
            "weights",
            str(description),
            f"cannot be read ({error.strerror or error})",
            "check its permissions and the disk",
        ) from error
    if not lines or lines[0].strip() != _MAGIC:
        raise DamagedWeightsError(description, f"it does not begin with {_MAGIC} and is no text of ncnn's")
    state: dict[str, Tensor] = {}
    for number, line in enumerate(lines[2:]):
        words = line.split()
        if not words:
            continue
        if len(words) < 4 or not (words[2].isdecimal() and words[3].isdecimal()):
            raise DamagedWeightsError(description, f"line {number + 3} is no layer: {line[:80]!r}")
        kind, layer = words[0], words[1][:80]
        options = {
            found[1]: found[2] for word in words[4:] if (found := re.fullmatch(r"([0-9]{1,9})=(-?[0-9]{1,18})", word))
        }
        name = f"ncnn.{number:04d}.{kind}.{layer}"
        if kind in ("Convolution", "Deconvolution"):
            state |= _convolution(source, description, name, options, transposed=kind == "Deconvolution")
        elif kind == "PReLU":
            state[f"{name}.weight"] = source.take(_number(options, "0", description, name), "<f4", name)
        elif _WITH_VALUES.fullmatch(kind):
            raise DamagedWeightsError(description, f"layer {layer!r} is a {kind}, which no supported model has")
    if source.at != len(source.data):
        raise DamagedWeightsError(
            values, f"it has {len(source.data)} bytes, its .param asks for {source.at}: altered, or of another model"
        )
    if not state:
        raise DamagedWeightsError(description, "it names no layer with weights")
    return state


def _convolution(
    source: _Values, description: Path, name: str, options: Mapping[str, str], *, transposed: bool
) -> dict[str, Tensor]:
    outputs, kernel, count = (_number(options, key, description, name) for key in ("0", "1", "6"))
    rows = _number({"11": options.get("11", str(kernel))}, "11", description, name)
    inputs, rest = divmod(count, outputs * kernel * rows)
    if rest:
        raise DamagedWeightsError(
            description, f"layer {name!r} has {count} weights, must be a multiple of {outputs} x {kernel} x {rows}"
        )
    weight = source.weights(count, name).reshape(outputs, inputs, rows, kernel)
    found = {f"{name}.weight": weight.transpose(0, 1).contiguous() if transposed else weight}
    if options.get("5", "0") != "0":
        found[f"{name}.bias"] = source.take(outputs, "<f4", name)
    return found


def _number(options: Mapping[str, str], key: str, description: Path, name: str) -> int:
    value = int(options.get(key, "0"))
    if not 0 < value <= _LARGEST:
        raise DamagedWeightsError(description, f"layer {name!r} has {key}={value}, must be a positive number")
    return value
