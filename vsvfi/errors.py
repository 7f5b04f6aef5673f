"""Every error vsvfi raises on purpose; each class builds its own message.

    VsvfiError
    ├── ArgumentError (ValueError)     an argument breaks a rule: "scale=0, must be positive; use 1, 0.5 or 0.25"
    │   ├── UnknownModelError          no such model; names the nearest ones
    │   └── DeviceError                no such device here, or it cannot do what was asked
    ├── ClipError (ValueError)         the clip cannot be interpolated as it is; names the remedy
    ├── UnsupportedVersionError        VapourSynth is older than vsvfi needs
    ├── ModelSpecError                 a family's spec.py is broken (a fault of ours, never skipped)
    ├── WeightsError
    │   ├── MissingWeightsError        not on this machine, and may not be fetched
    │   ├── DownloadError              every source failed; names each with its reason
    │   ├── DamagedWeightsError        the file is not what was published (hash, size, truncated, not a checkpoint)
    │   └── ForeignWeightsError        a readable checkpoint, but of another network (keys or shapes differ)
    └── FrameError                     something failed at frame time; names the frame
        └── DeviceMemoryError          the device ran out of memory; names what was held and the advice

`clip.graph` prefixes "interpolate: " and raises
`vapoursynth.Error`.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath

_LONGEST_SHOWN = 120
_ITEMS_SHOWN = 8
_DIGITS_SHOWN = (
    400  # bits; more would be cut off anyhow, and Python refuses to print integers of more than 4,300 digits
)


def shown(value: object) -> str:
    """A value as it may stand in a message: like `repr`, but at most 120 characters, at no cost that grows with the
    value.

    Only Python's own types are printed. Anything else appears as its type, since its `repr` may raise, hang or be
    endless.
    """
    text = _shown(value, 3)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


def _shown(value: object, depth: int) -> str:
    kind = type(value)
    if value is None or kind in (bool, float, complex):
        return repr(value)
    if issubclass(kind, int):
        return _shown_integer(int.__int__(value))  # type: ignore[arg-type]
    if issubclass(kind, str):
        return str.__repr__(str.__str__(value)[:_LONGEST_SHOWN])
    if issubclass(kind, bytes | bytearray):
        return repr(bytes(memoryview(value)[:_LONGEST_SHOWN]))  # type: ignore[arg-type]
    if kind is Fraction:
        return f"Fraction({', '.join(_shown_integer(part) for part in Fraction.as_integer_ratio(value))})"  # type: ignore[arg-type]
    if kind in _PATHS:
        return str.__repr__(str(value)[:_LONGEST_SHOWN])
    if kind in (list, tuple, set, frozenset, dict):
        return _shown_container(value, depth)
    if type(kind) is type and f"{kind.__module__}.{kind.__name__}" in _SMALL:
        return repr(value)
    return f"<{type_name(value)}>"


_PATHS = {PurePosixPath, PureWindowsPath, PosixPath, WindowsPath}
_SMALL = {"torch.device", "torch.dtype", "numpy.float64", "numpy.float32", "numpy.int64", "numpy.bool"}
"""Types of other packages whose `repr` is short and harmless."""


def _shown_integer(value: int) -> str:
    bits = value.bit_length()
    return str(value) if bits <= _DIGITS_SHOWN else f"<an integer of {bits} bits>"


def _shown_container(value: object, depth: int) -> str:
    """The first items of a list, tuple, set or dict."""
    kind = type(value)
    start, end = "[]" if kind is list else "()" if kind is tuple else "{}"
    if depth == 0:
        return f"{start}...{end}"
    if isinstance(value, dict):
        items = [
            f"{_shown(key, depth - 1)}: {_shown(item, depth - 1)}"
            for key, item in itertools.islice(value.items(), _ITEMS_SHOWN)
        ]
    else:
        items = [_shown(item, depth - 1) for item in itertools.islice(value, _ITEMS_SHOWN)]  # type: ignore[call-overload]
    if kind is tuple and len(items) == 1:
        items.append("")
    elif len(value) > _ITEMS_SHOWN:  # type: ignore[arg-type]
        items.append("...")
    if kind in (set, frozenset) and not items:
        return "set()"
    return f"{start}{', '.join(items)}".rstrip() + end


def type_name(value: object) -> str:
    """The name of a value's type, also where `__class__` or the metaclass play tricks."""
    name: str = type.__dict__["__qualname__"].__get__(type(value))
    return name[:_LONGEST_SHOWN]


class VsvfiError(Exception):
    """Root of everything vsvfi raises on purpose."""


class ArgumentError(VsvfiError, ValueError):
    """An argument breaks a rule.

    Args:
        argument: name of the argument as the caller wrote it.
        value: what was given; see `shown`.
        rule: what must hold.
        remedy: what to do instead.
    """

    def __init__(self, argument: str, value: object, rule: str, remedy: str) -> None:
        super().__init__(f"{argument}={shown(value)}, {rule}; {remedy}")
        self.argument = argument


class UnknownModelError(ArgumentError):
    """No registered model has this name."""

    def __init__(self, name: object, known: Sequence[str]) -> None:
        near = (
            difflib.get_close_matches(str.__str__(name)[:64].lower(), known, n=3, cutoff=0.5)
            if issubclass(type(name), str)
            else []
        )
        remedy = f"did you mean {' or '.join(near)}?" if near else f"known models: {', '.join(known)}"
        super().__init__("model", name, "is not a known model", remedy)


class DeviceError(ArgumentError):
    """The requested device does not exist here or cannot run what was asked."""

    def __init__(self, value: object, rule: str, remedy: str) -> None:
        super().__init__("device", value, rule, remedy)


class ClipError(VsvfiError, ValueError):
    """The clip itself cannot be interpolated as it is."""

    def __init__(self, fact: str, remedy: str) -> None:
        super().__init__(f"{fact}; {remedy}")


class UnsupportedVersionError(VsvfiError):
    """A package that vsvfi runs on is older than it needs."""

    def __init__(self, package: str, found: str, minimum: str, remedy: str) -> None:
        super().__init__(f"{package} {found} is too old, vsvfi needs {minimum} or newer; {remedy}")


class ModelSpecError(VsvfiError):
    """A family's specification is broken."""

    def __init__(self, family: str, fault: str) -> None:
        super().__init__(f"models.{family}.spec: {fault}")


class WeightsError(VsvfiError):
    """Something is wrong with a weight file."""


class MissingWeightsError(WeightsError):
    """The weights of a model are not on this machine and may not (or cannot) be fetched.

    Args:
        model: whose.
        reason: why they are not fetched.
        remedy: what to do, ending in a comma; by default to fetch them.
    """

    def __init__(self, model: str, reason: str, remedy: str = "") -> None:
        remedy = remedy or f"run 'vsvfi models fetch {model}' with network access, pass weights=PATH,"
        super().__init__(
            f"model={model!r}, its weights are not on this machine and {reason}; {remedy} or use model='builtin', "
            "which needs no download"
        )


class DownloadError(WeightsError):
    """Every source of a weight file failed."""

    def __init__(self, model: str, attempts: Iterable[tuple[str, str]]) -> None:
        listed = "; ".join(f"{source}: {reason}" for source, reason in attempts)
        super().__init__(
            f"model={model!r}, the weights could not be downloaded ({listed}); try again later, or download the file "
            "yourself and pass weights=PATH"
        )


class DamagedWeightsError(WeightsError):
    """A file is not what was published: truncated, tampered with, or not a checkpoint at all."""

    def __init__(self, path: Path, fault: str) -> None:
        remedy = "use an intact copy (a file that vsvfi downloaded: delete it and fetch it again)"
        super().__init__(f"weights={str(path)!r}, {fault}; {remedy}")
        self.path = path


class ForeignWeightsError(WeightsError):
    """A readable checkpoint that belongs to another network."""

    def __init__(self, origin: str, model: str, fault: str) -> None:
        super().__init__(
            f"weights={origin!r}, this is not a checkpoint of {model!r}: {fault}; pass the file published for "
            f"{model!r}, or the model this file belongs to"
        )


class FrameError(VsvfiError):
    """Something failed while a frame was being made."""

    def __init__(self, frame: int, fault: str) -> None:
        super().__init__(f"frame {frame}: {fault}")


class DeviceMemoryError(FrameError):
    """The device ran out of memory while a frame was being made."""

    def __init__(self, frame: int, device: str, held: str, advice: str) -> None:
        super().__init__(frame, f"{device} ran out of memory (held: {held}); use {advice}")
