"""Parse each argument to its canonical form, or raise an ArgumentError with the violated rule and the remedy."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Literal, cast

from vsvfi.errors import ArgumentError
from vsvfi.options.values import checked, is_a, plain_integer, plain_items, plain_number, plain_text

type Precision = Literal["auto", "fp32", "fp16", "bf16"]
type SceneMode = Literal["auto", "props", "off"]
type DuplicateMode = Literal["off", "skip", "retime", "repair"]
type CutMode = Literal["hold", "blend", "nearest"]
type Rate = int | float | str | Fraction | tuple[int, int]
type Devices = str | Sequence[str]

PRECISIONS = ("auto", "fp32", "fp16", "bf16")
SCENE_MODES = ("auto", "props", "off")
DUPLICATE_MODES = ("off", "skip", "retime", "repair")
CUT_MODES = ("hold", "blend", "nearest")

MATRICES = {"709": 1, "fcc": 4, "470bg": 5, "170m": 6, "240m": 7, "ycgco": 8, "2020ncl": 9}
"""Names that `matrix=` takes, as zimg spells them, with their codes in ITU-T H.273."""

_MATRIX_ALIASES = {
    **MATRICES,
    **{f"{body}709": 1 for body in ("bt", "rec", "itur")},
    **{name: 5 for name in ("bt470bg", "pal")},
    **{name: 6 for name in ("601", "bt601", "rec601", "smpte170m", "st170m", "ntsc")},
    **{name: 7 for name in ("smpte240m", "st240m")},
    **{name: 8 for name in ("ycocg",)},
    **{f"{body}2020{kind}": 9 for body in ("", "bt", "rec") for kind in ("", "nc", "ncl")},
}
"""Other spellings, in lower case and without separators."""

_DEVICE = re.compile(r"auto|(cpu|mps)(?::0)?|(?:cuda|xpu)(?::(?:0|[1-9][0-9]{0,2}))?")
_RUNTIME = re.compile(r"[a-z]{1,20}(?::[a-z]{1,20})?")
_LARGEST_MULTI = 1000
_LARGEST_TERM = 2**31 - 1
_SMALLEST_TILE = 128
_MOST_ENTRIES = 64
_MOST_POSITIONS = 10_000_000
_FINEST = 1 << 16


@checked("model")
def parse_model(value: object) -> str:
    """The name of a model; the registry checks that it exists."""
    name = plain_text(value)
    if not name:
        raise ArgumentError("model", value, "must be the name of a model", "see vsvfi.list_models()")
    return name


@checked("multi")
def parse_multi(value: object) -> Fraction:
    """Output frames per source frame: an int, a Fraction, "5/2", or a float that is exact, such as 2.5."""
    rule = f"must be a number from 1 to {_LARGEST_MULTI}"
    remedy = "use an int like 2 or Fraction(5, 2); for a frame rate use fps="
    fraction, is_float = _fraction("multi", value, rule, remedy)
    if is_float and fraction.denominator > 64:
        raise ArgumentError("multi", value, "is not an exact ratio", "use fractions.Fraction, or fps= for a frame rate")
    if not 1 <= fraction <= _LARGEST_MULTI:
        raise ArgumentError("multi", value, rule, remedy)
    return _simple("multi", value, fraction)


@checked("fps")
def parse_rate(value: object) -> Fraction:
    """A frame rate: 60, Fraction(60000, 1001), "60", "60000/1001", (60000, 1001).

    Decimals like 59.94 or "23.976" mean the NTSC rate they abbreviate.
    """
    rule, remedy = "must be a positive frame rate", 'use an int, a Fraction, "60000/1001" or (60000, 1001)'
    parts = plain_items(value, 2)
    decimal = False
    if parts is not None:
        terms = [plain_integer(part) for part in parts]
        if len(terms) != 2 or terms[0] is None or not terms[1]:
            raise ArgumentError("fps", value, "must be (numerator, denominator), two whole numbers", remedy)
        fraction = Fraction(terms[0], terms[1])
    else:
        fraction, decimal = _fraction("fps", value, rule, remedy)
        decimal = decimal or "." in (plain_text(value) or "")
    if not 0 < fraction <= 100_000:
        raise ArgumentError("fps", value, rule, remedy)
    if decimal and fraction.denominator != 1:
        ntsc = Fraction(round(fraction * 1001 / 1000) * 1000, 1001)
        if ntsc and abs(ntsc - fraction) < Fraction(1, 200):
            return ntsc
        fraction = fraction.limit_denominator(1000) or fraction
    return _simple("fps", value, fraction)


@checked("curve")
def parse_curve(value: object) -> object:
    """None, a function, or positions as a tuple; `plan.curve` checks them against a clip."""
    if value is None or callable(value):
        return value
    array = value.tolist() if type(value).__module__ == "numpy" else value  # type: ignore[attr-defined]
    positions = plain_items(array, _MOST_POSITIONS)
    if positions is None:
        raise ArgumentError(
            "curve", value, "must be a list of positions or a function", "give one position per output frame"
        )
    return tuple(parse_position(position) for position in positions)


@checked("curve")
def parse_position(value: object) -> Fraction:
    """One position of a curve in source frames; floats are rounded to a fraction of few digits."""
    number = plain_number(value)
    if number is None or not isfinite(number) or not number >= 0:
        raise ArgumentError("curve", value, "is no position in source frames, 0 or more", "give numbers from 0 on")
    return Fraction(number).limit_denominator(_FINEST) if isinstance(number, float) else Fraction(number)


@checked("scale")
def parse_scale(value: object) -> Fraction | None:
    """Resolution of the motion estimation: a positive number up to 4.

    Floats are converted to the nearest simple fraction (0.8 is 4/5).
    """
    if value is None:
        return None
    rule, remedy = (
        "must be a number above 0 and up to 4",
        "use 1, 0.5 (2K), 0.25 (4K), or None for the model's own choice",
    )
    fraction, _ = _fraction("scale", value, rule, remedy)
    if not 0 < fraction <= 4 or not (simple := fraction.limit_denominator(64)):
        raise ArgumentError("scale", value, rule, remedy)
    return simple


def parse_weights(value: object, argument: str = "weights") -> Path | None:
    """A path of an existing file, or of a folder with an ncnn model (a .param file and its .bin).

    Args:
        value: what was given.
        argument: its name.
    """
    return checked(argument)(lambda value: _parse_weights(value, argument))(value)


def _parse_weights(value: object, argument: str) -> Path | None:
    if value is None:
        return None
    text = plain_text(os.fspath(cast(str, value))) if is_a(value, str, os.PathLike) else None
    if not text:
        raise ArgumentError(
            argument, value, "must be a path", "pass the path of a checkpoint file, or None for the published weights"
        )
    remedy = "check the path, or leave it out to use the published weights"
    try:
        path = Path(text).expanduser()
        found = path.is_file() or any(path.glob("*.param"))
    except RuntimeError:
        raise ArgumentError(argument, text, "names a user without a home folder", remedy) from None
    except (OSError, ValueError) as error:  # too long, a loop of links, a null character
        reason = error.strerror if isinstance(error, OSError) else "no path holds such a character"
        raise ArgumentError(argument, text, f"is not a file ({reason})", remedy) from None
    if not found:
        raise ArgumentError(argument, str(path), "is not a file", remedy)
    return path


@checked("device")
def parse_devices(value: object) -> tuple[str, ...]:
    """One device name or several: "auto", "cpu", "cuda", "cuda:1", "mps", "xpu", "xpu:1", or a torch.device."""
    listed = plain_items(value, _MOST_ENTRIES)
    listed = [value] if listed is None else listed
    remedy = "use 'auto', 'cpu', 'cuda', 'cuda:1', 'mps', 'xpu', or a list of them"
    if not listed:
        raise ArgumentError("device", value, "must name a device", remedy)
    names = []
    for item in listed:
        match = _DEVICE.fullmatch(_device_name(item))
        if match is None or len(listed) > _MOST_ENTRIES:
            raise ArgumentError("device", value, "is not a device name", remedy)
        names.append(match[1] or match[0])
    if len(names) > 1 and ("auto" in names or len(set(names)) < len(names)):
        raise ArgumentError(
            "device", value, "a list must name different devices, without 'auto'", "list each device once"
        )
    return tuple(names)


def _device_name(item: object) -> str:
    """The name of a device, or "" if the value is not a device."""
    index = plain_integer(item)
    if index is not None:
        return f"cuda:{index}" if 0 <= index < 1000 else ""
    kind = type(item)
    if kind.__module__ == "torch" and kind.__name__ == "device":
        return str(item)
    return (plain_text(item) or "")[:_MOST_ENTRIES].lower()


@checked("precision")
def parse_precision(value: object) -> Precision:
    """One of `PRECISIONS`."""
    return cast(Precision, _choice("precision", value, PRECISIONS))


@checked("runtime")
def parse_runtime(value: object) -> str:
    """The name of a runtime or "auto", with a provider after a colon; the engine checks that it exists."""
    text = (plain_text(value) or "")[:_MOST_ENTRIES].lower()
    if not _RUNTIME.fullmatch(text):
        raise ArgumentError(
            "runtime", value, "is not the name of a runtime", "use 'auto', 'eager', 'graph', 'compile' or 'onnx'"
        )
    return text


@checked("scene")
def parse_scene(value: object) -> SceneMode:
    """One of `SCENE_MODES`."""
    return cast(SceneMode, _choice("scene", value, SCENE_MODES))


@checked("duplicates")
def parse_duplicates(value: object) -> DuplicateMode:
    """One of `DUPLICATE_MODES`."""
    return cast(DuplicateMode, _choice("duplicates", value, DUPLICATE_MODES))


@checked("scene_change")
def parse_scene_change(value: object) -> CutMode:
    """One of `CUT_MODES`."""
    return cast(CutMode, _choice("scene_change", value, CUT_MODES))


@checked("max_hold")
def parse_max_hold(value: object) -> int | None:
    """The longest hold of a drawing that is re-timed, in source frames."""
    return _whole("max_hold", value, 2, 24, "use 2 for drawings on twos, 4 up to fours, or None for 4")


@checked("scene_threshold")
def parse_threshold(value: object) -> float | None:
    """A number above 0 and up to 1."""
    if value is None:
        return None
    number = None if is_a(value, str) else plain_number(value)
    if number is None or not 0 < number <= 1 or float(number) == 0:
        raise ArgumentError(
            "scene_threshold",
            value,
            "must be a number above 0 and up to 1",
            "leave it None for the default; smaller finds more cuts",
        )
    return float(number)


@checked("streams")
def parse_streams(value: object) -> int | None:
    """Frames computed at the same time."""
    return _whole("streams", value, 1, 64, "use 1 to 4, or None for the device's default")


@checked("cache")
def parse_cache(value: object) -> int | None:
    """MiB to bytes."""
    whole = _whole(
        "cache", value, 0, 1 << 20, "give the size in MiB for example cache=1024, or None for the device's default"
    )
    return None if whole is None else whole << 20


@checked("tile")
def parse_tile(value: object) -> int | Literal["auto"] | None:
    """Largest edge of a tile in pixels, "auto", or None for the whole picture."""
    if plain_text(value) == "auto":
        return "auto"
    try:
        return _whole("tile", value, _SMALLEST_TILE, 1 << 16, "")
    except ArgumentError:
        rule = f'must be a whole number of pixels from {_SMALLEST_TILE} to {1 << 16}, or "auto"'
        remedy = "use 512 to 1024 where memory is short; smaller tiles compute more twice"
        raise ArgumentError("tile", value, rule, remedy) from None


@checked("mask")
def parse_mask(value: object) -> object:
    """None, "auto", or a clip, which the graph checks."""
    if value is None or type(value).__module__ == "vapoursynth":
        return value
    if plain_text(value) != "auto":
        raise ArgumentError(
            "mask", value, 'must be "auto" or a clip', "pass a Gray clip of the same size, white = keep"
        )
    return "auto"


@checked("shutter")
def parse_shutter(value: object) -> Fraction | None:
    """Degrees of a shutter."""
    if value is None:
        return None
    rule, remedy = "must be a number of degrees above 0 and up to 360", "use 180 for half of each output frame"
    degrees, is_float = _fraction("shutter", value, rule, remedy)
    degrees = degrees.limit_denominator(1000) if is_float else degrees
    if not 0 < degrees <= 360:
        raise ArgumentError("shutter", value, rule, remedy)
    return _simple("shutter", value, degrees)


@checked("shutter_samples")
def parse_shutter_samples(value: object) -> int:
    """Interpolated times per output frame."""
    remedy = "use 8, or more for fast motion; each is one more frame to interpolate"
    samples = _whole("shutter_samples", value, 2, 31, remedy)
    return 8 if samples is None else samples


@checked("matrix")
def parse_matrix(value: object) -> int | None:
    """A matrix by its H.273 code, or by name in any common spelling ("709", "bt709", "Rec.709")."""
    if value is None:
        return None
    name = plain_text(value)
    code = (
        plain_integer(value)
        if name is None
        else _MATRIX_ALIASES.get(re.sub(r"[^a-z0-9]", "", name[:_MOST_ENTRIES].lower()))
    )
    if code not in MATRICES.values():
        raise ArgumentError("matrix", value, "is not a known matrix", f"use {', '.join(map(repr, MATRICES))}")
    return code


@checked("options")
def parse_model_options(value: object) -> dict[str, object]:
    """A mapping from names to values; the model's family validates its entries."""
    if value is None:
        return {}
    names = list(itertools.islice(iter(value), _MOST_ENTRIES + 1)) if is_a(value, Mapping) else [None]  # type: ignore[call-overload]
    if len(names) > _MOST_ENTRIES or not all(is_a(name, str) for name in names):
        raise ArgumentError(
            "options", value, "must be a mapping from option names to values", "use for example options={'name': value}"
        )
    return {str.__str__(name): value[name] for name in names}  # type: ignore[index]


def _choice(argument: str, value: object, allowed: Sequence[str]) -> str:
    text = plain_text(value) or ""
    if text not in allowed:
        raise ArgumentError(argument, value, "is not an allowed value", f"use {', '.join(map(repr, allowed))}")
    return text


def _whole(argument: str, value: object, smallest: int, largest: int, remedy: str) -> int | None:
    if value is None:
        return None
    whole = plain_integer(value)
    if whole is None or not smallest <= whole <= largest:
        raise ArgumentError(argument, value, f"must be a whole number from {smallest} to {largest}", remedy)
    return whole


def _fraction(argument: str, value: object, rule: str, remedy: str) -> tuple[Fraction, bool]:
    """Any spelling of a number as a fraction, and whether it was a float."""
    number = plain_number(value)
    if number is None or not isfinite(number):
        raise ArgumentError(argument, value, rule, remedy)
    return Fraction(number), isinstance(number, float)


def _simple(argument: str, value: object, fraction: Fraction) -> Fraction:
    """Return the fraction, or refuse it if its numerator or denominator is too large."""
    if max(fraction.numerator, fraction.denominator) > _LARGEST_TERM:
        near = fraction.limit_denominator(1001) or Fraction(1)
        raise ArgumentError(
            argument, value, "has too many digits", f"use a simpler one, such as {argument}={str(near)!r}"
        )
    return fraction
