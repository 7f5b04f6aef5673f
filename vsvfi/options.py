"""Every argument of `interpolate()`, parsed and checked once. Pure: knows no clip, no model and no device, only what an argument may look like."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

from vsvfi.errors import ArgumentError

type Precision = Literal["auto", "fp32", "fp16", "bf16"]
type SceneMode = Literal["auto", "props", "off"]
type DuplicateMode = Literal["off", "skip", "retime"]
type Rate = int | float | str | Fraction | tuple[int, int]
type Devices = str | Sequence[str]

PRECISIONS = ("auto", "fp32", "fp16", "bf16")
SCENE_MODES = ("auto", "props", "off")
DUPLICATE_MODES = ("off", "skip", "retime")

MATRICES = {"709": 1, "fcc": 4, "470bg": 5, "170m": 6, "240m": 7, "ycgco": 8, "2020ncl": 9}
"""Names that `matrix=` takes, with their codes in ITU-T H.273."""

_DEVICE = re.compile(r"(auto|cpu|mps|(?:cuda|xpu)(?::\d+)?)")
_LARGEST_MULTI = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `interpolate()` was asked for.

    Attributes:
        model: name of the model.
        multi: output frames per source frame (>= 1); ignored where `fps` is given.
        fps: target frame rate in frames per second, or None.
        scale: resolution of the motion estimation relative to the clip, or None for the family's choice.
        weights: a checkpoint to use instead of the published one.
        devices: torch device names; "auto" alone means the best one here.
        precision: arithmetic of the network.
        scene: where cuts come from.
        scene_threshold: sensitivity of the own detection, 0 to 1, or None for its default.
        duplicates: what becomes of identical neighbours.
        streams: how many frames are computed at the same time, or None for the device's default.
        cache: bytes that the caches of frames and pairs may hold, or None for the device's default.
        matrix: H.273 code to assume for frames that carry no `_Matrix`, or None to guess by height.
        options: what only one family has.
    """

    model: str = "builtin"
    multi: Fraction = Fraction(2)
    fps: Fraction | None = None
    scale: Fraction | None = None
    weights: Path | None = None
    devices: tuple[str, ...] = ("auto",)
    precision: Precision = "auto"
    scene: SceneMode = "auto"
    scene_threshold: float | None = None
    duplicates: DuplicateMode = "skip"
    streams: int | None = None
    cache: int | None = None
    matrix: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)


def parse(
    *,
    model: object = "builtin",
    multi: object = 2,
    scale: object = None,
    fps: object = None,
    weights: object = None,
    device: object = "auto",
    precision: object = "auto",
    scene: object = "auto",
    scene_threshold: object = None,
    duplicates: object = "skip",
    tile: object = None,
    streams: object = None,
    cache: object = None,
    matrix: object = None,
    options: object = None,
) -> Options:
    """Check every argument and bring it to its one form.

    Raises:
        ArgumentError: with the argument, its value, the rule and the remedy.
    """
    if tile is not None:
        raise ArgumentError(
            "tile", tile, "is not available in this version", "leave tile=None; a smaller scale= (0.5 or 0.25) or precision='fp16' saves memory"
        )
    return Options(
        model=_text("model", model, "the name of a model", "see vsvfi.list_models()"),
        multi=parse_multi(multi),
        fps=None if fps is None else parse_rate(fps),
        scale=parse_scale(scale),
        weights=parse_weights(weights),
        devices=parse_devices(device),
        precision=parse_precision(precision),
        scene=cast(SceneMode, _choice("scene", scene, SCENE_MODES)),
        scene_threshold=_threshold(scene_threshold),
        duplicates=cast(DuplicateMode, _choice("duplicates", duplicates, DUPLICATE_MODES)),
        streams=_whole("streams", streams, 1, 64, "use 1 to 4, or None for the device's default"),
        cache=_megabytes(cache),
        matrix=_matrix(matrix),
        options=parse_model_options(options),
    )


def parse_multi(value: object) -> Fraction:
    """Output frames per source frame: an int, a Fraction, "5/2", or a float that is an exact binary fraction like 2.5."""
    rule, remedy = f"must be a number from 1 to {_LARGEST_MULTI}", "use an int like 2 or Fraction(5, 2); for a frame rate use fps="
    fraction = _fraction("multi", value, rule, remedy)
    if isinstance(value, float) and fraction.denominator > 64:
        raise ArgumentError("multi", value, "is not an exact ratio", "use fractions.Fraction, or fps= for a frame rate")
    if not 1 <= fraction <= _LARGEST_MULTI:
        raise ArgumentError("multi", value, rule, remedy)
    return fraction


def parse_rate(value: object) -> Fraction:
    """A frame rate: 60, Fraction(60000, 1001), "60", "60000/1001", (60000, 1001); decimals like 59.94 or "23.976" mean the NTSC rate they abbreviate."""
    rule, remedy = "must be a positive frame rate", 'use an int, a Fraction, "60000/1001" or (60000, 1001)'
    if isinstance(value, tuple | list):
        if len(value) != 2 or not all(_is_whole(part) for part in value) or value[1] == 0:
            raise ArgumentError("fps", value, "must be (numerator, denominator), two whole numbers", remedy)
        fraction = Fraction(value[0], value[1])
    else:
        fraction = _fraction("fps", value, rule, remedy)
    if not 0 < fraction <= 100_000:
        raise ArgumentError("fps", value, rule, remedy)
    decimal = isinstance(value, float) or (isinstance(value, str) and "." in value)
    if decimal and fraction.denominator != 1:
        ntsc = Fraction(round(fraction * 1001 / 1000) * 1000, 1001)
        if abs(ntsc - fraction) < Fraction(1, 200):
            return ntsc
        fraction = fraction.limit_denominator(1000)
    return fraction


def parse_scale(value: object) -> Fraction | None:
    """Resolution of the motion estimation: a positive number up to 4; floats count as the nearest simple fraction (0.8 is 4/5)."""
    if value is None:
        return None
    rule, remedy = "must be a number above 0 and up to 4", "use 1, 0.5 (2K), 0.25 (4K), or None for the model's own choice"
    fraction = _fraction("scale", value, rule, remedy).limit_denominator(64)
    if not 0 < fraction <= 4:
        raise ArgumentError("scale", value, rule, remedy)
    return fraction


def parse_weights(value: object) -> Path | None:
    """A path of an existing file."""
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike):
        raise ArgumentError("weights", value, "must be a path", "pass the path of a checkpoint file, or None for the published weights")
    path = Path(value).expanduser()
    if not path.is_file():
        raise ArgumentError("weights", str(path), "is not a file", "check the path, or leave weights=None to use the published weights")
    return path


def parse_devices(value: object) -> tuple[str, ...]:
    """One device name or several: "auto", "cpu", "cuda", "cuda:1", "mps", "xpu", "xpu:1", or a torch.device."""
    listed = list(value) if isinstance(value, list | tuple) else [value]
    remedy = "use 'auto', 'cpu', 'cuda', 'cuda:1', 'mps', 'xpu', or a list of them"
    if not listed:
        raise ArgumentError("device", value, "must name a device", remedy)
    names = [f"cuda:{item}" if _is_whole(item) else str(item).lower() for item in listed]
    for name in names:
        if not _DEVICE.fullmatch(name):
            raise ArgumentError("device", value, "is not a device name", remedy)
    if len(names) > 1 and ("auto" in names or len(set(names)) < len(names)):
        raise ArgumentError("device", value, "a list must name different devices, without 'auto'", "list each device once")
    return tuple(names)


def parse_precision(value: object) -> Precision:
    """One of `PRECISIONS`."""
    return cast(Precision, _choice("precision", value, PRECISIONS))


def parse_model_options(value: object) -> dict[str, object]:
    """A mapping from names to values; the model's family checks what is in it."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ArgumentError("options", value, "must be a mapping from option names to values", "use for example options={'name': value}")
    return dict(value)


def _text(argument: str, value: object, meaning: str, remedy: str) -> str:
    if not isinstance(value, str) or not value:
        raise ArgumentError(argument, value, f"must be {meaning}", remedy)
    return value


def _choice(argument: str, value: object, allowed: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise ArgumentError(argument, value, "is not one of its values", f"use {', '.join(map(repr, allowed))}")
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(argument: str, value: object, smallest: int, largest: int, remedy: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
        raise ArgumentError(argument, value, f"must be a whole number from {smallest} to {largest}", remedy)
    return value


def _fraction(argument: str, value: object, rule: str, remedy: str) -> Fraction:
    """Any spelling of a number as a Fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        raise ArgumentError(argument, value, rule, remedy)
    try:
        return Fraction(value)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise ArgumentError(argument, value, rule, remedy) from None


def _threshold(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ArgumentError("scene_threshold", value, "must be a number above 0 and up to 1", "leave it None for the default; smaller finds more cuts")
    return float(value)


def _megabytes(value: object) -> int | None:
    whole = _whole("cache", value, 0, 1 << 20, "give the size in MiB for example cache=1024, or None for the device's default")
    return None if whole is None else whole << 20


def _matrix(value: object) -> int | None:
    if value is None:
        return None
    code = MATRICES.get(value) if isinstance(value, str) else value if _is_whole(value) and value in MATRICES.values() else None
    if not isinstance(code, int):
        raise ArgumentError("matrix", value, "is not a known matrix", f"use {', '.join(map(repr, MATRICES))}")
    return code
