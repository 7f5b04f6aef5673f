"""Every error vsvfi raises on purpose; each class builds its own message.

    VsvfiError
    ├── ArgumentError (ValueError)     an argument breaks a rule: "scale=0, must be positive; use 1, 0.5 or 0.25"
    │   ├── UnknownModelError          no such model; names the nearest ones
    │   └── DeviceError                no such device here, or it cannot do what was asked
    ├── ClipError (ValueError)         the clip cannot be interpolated as it is; names the remedy
    ├── UnsupportedVersionError        VapourSynth is older than vsvfi needs
    ├── ModelSpecError                 a family's spec.py is broken (a fault of ours, never skipped)
    ├── ExportError                    a network cannot be written as ONNX, or is not the same there
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
import re
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


class ExportError(VsvfiError):
    """A network cannot be written as ONNX, or a written one does not compute the same."""

    def __init__(self, fact: str, remedy: str) -> None:
        super().__init__(f"{fact}; {remedy}")


class WeightsError(VsvfiError):
    """Something is wrong with a weight file.

    Attributes:
        network: the model or the network of a metric whose weights these are; "" if unknown.
    """

    network = ""


class MissingWeightsError(WeightsError):
    """The weights of a network are not on this machine and may not (or cannot) be fetched.

    Args:
        network: whose.
        reason: why they are not fetched.
        remedy: how to obtain them; by default to fetch them. "" if nothing but a file helps.
        listed: `vsvfi models` lists the network; it does not list those of metrics.
    """

    def __init__(self, network: str, reason: str, remedy: str | None = None, *, listed: bool = True) -> None:
        if remedy is None:
            remedy = f"run 'vsvfi models fetch {network}' with network access" if listed else "allow downloads"
        steps = [step for step in (remedy, _PASS_FILE, _USE_BUILTIN if listed else "") if step]
        advice = f"{', '.join(steps[:-1])}, or {steps[-1]}" if steps[1:] else steps[0]
        fact = f"its weights are not on this machine and {reason}"
        super().__init__(f"model={network!r}, {fact}; {advice}" if listed else f"{network}: {fact}; {advice}")
        self.network = network


class DownloadError(WeightsError):
    """Every source of a weight file failed.

    Args:
        network: whose weights these are.
        attempts: source and reason of each.
        listed: `vsvfi models` lists the network.
    """

    def __init__(self, network: str, attempts: Iterable[tuple[str, str]], *, listed: bool = True) -> None:
        tried = "; ".join(f"{source}: {reason}" for source, reason in attempts)
        fact = f"the weights could not be downloaded ({tried})"
        advice = f"try again later, or {_BY_HAND}{_PASS_FILE}"
        super().__init__(f"model={network!r}, {fact}; {advice}" if listed else f"{network}: {fact}; {advice}")
        self.network = network


_PASS_FILE = "pass weights=PATH"
_USE_BUILTIN = "use model='builtin', which needs no download"
_BY_HAND = "download the file yourself and "


def for_command(text: str, *, weights: str = "--weights", model: str = "--model") -> str:
    """Return an error's text with the options of a command in place of the arguments that it advises.

    Args:
        text: of an error of vsvfi, also inside another message.
        weights: the option that takes a file of weights; "" if there is none.
        model: the option that names the model; "" if there is none.
    """
    options = {
        _BY_HAND + _PASS_FILE: weights and f"{_BY_HAND}pass it with {weights}",
        _PASS_FILE: weights and f"pass a file with {weights}",
        _USE_BUILTIN: model and f"use {model} builtin, which needs no download",
    }
    for advice, replacement in options.items():
        if not replacement:  # leave this alternative out
            text = re.sub(f",(?: or)? {re.escape(advice)}", "", text)
        text = text.replace(advice, replacement)
    return text


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
        self.network = model


class FrameError(VsvfiError):
    """Something failed while a frame was being made."""

    def __init__(self, frame: int, fault: str) -> None:
        super().__init__(f"frame {frame}: {fault}")


class DeviceMemoryError(FrameError):
    """The device ran out of memory while a frame was being made."""

    def __init__(self, frame: int, device: str, held: str, advice: str) -> None:
        super().__init__(frame, f"{device} ran out of memory (held: {held}); use {advice}")
