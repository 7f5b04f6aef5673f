"""Fill in the options that the command line leaves open from `vsvfi.toml`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vsvfi.cli.config import NAME, UNSET, Settings, read, user_file
from vsvfi.cli.parser import build_parser, subparsers
from vsvfi.errors import VsvfiError

_INSTEAD: Mapping[str, tuple[str, ...]] = {
    "fps": ("multi",),
    "multi": ("fps",),
    "slow": ("fps", "multi"),
    "vfr": ("fps",),
    "workers": ("scheduler",),
    "scheduler": ("workers",),
    "no_job": ("job", "workers", "scheduler", "chunk"),
    "quiet": ("verbose",),
    "verbose": ("quiet",),
}
"""Options that contradict another: the one that is given, or comes from the file that counts more, removes these."""


def apply_settings(arguments: argparse.Namespace, argv: Sequence[str] | None) -> list[tuple[str, bool]]:
    """Set what the command line does not; returns a line for each file that did, and whether it is the user's own.

    Args:
        arguments: the parsed command line; changed.
        argv: the command line.

    Raises:
        ArgumentError: a file is wrong; see `config.read`.
    """
    if arguments.no_config or arguments.command in UNSET:
        return []
    parser = build_parser()
    values: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    for settings in files(parser, source_folder(arguments)):
        incoming = {**settings.values[""], **settings.values.get(arguments.command, {})}
        values = {**_without(values, incoming), **incoming}
        origin |= dict.fromkeys(incoming, settings.path)
    values = _without(values, _given(argv))
    extra = [value for name, value in values.items() if name.startswith("arg.")]
    for name, value in values.items():
        if not name.startswith("arg."):
            setattr(arguments, name, value)
    if extra:
        arguments.arg = [*extra, *arguments.arg]
    shown: dict[Path, list[str]] = {}
    for name, value in values.items():
        text = str(value) if name.startswith("arg.") else f"{name.replace('_', '-')}={value}"
        shown.setdefault(origin[name], []).append(text)
    own = user_file()
    return [(f"settings of {path}: {', '.join(texts)}", path == own) for path, texts in shown.items()]


def files(parser: argparse.ArgumentParser, folder: Path | None) -> list[Settings]:
    """Read the user's file and the one in the source's folder, in this order, as far as there are any.

    Raises:
        ArgumentError: see `config.read`.
    """
    own = user_file()
    beside = None if folder is None else folder / NAME
    found = [read(own, parser, beside=False)]
    if beside is not None and (own is None or beside.absolute() != own.absolute()):
        found.append(read(beside, parser, beside=True))
    return [settings for settings in found if settings is not None]


def report_settings() -> list[dict[str, Any]]:
    """Return what `vsvfi doctor` says about the user's file and one in the working folder; raises nothing.

    Each is "path", "found", "values" by command, and "fault": None, or what is wrong.
    """
    parser, reported = build_parser(), list[dict[str, Any]]()
    try:
        own = user_file()
    except VsvfiError as error:
        own, fault = None, str(error)
        reported.append({"path": None, "found": False, "values": {}, "fault": fault})
    for path, beside in ((own, False), (_working_folder(), True)):
        if path is None or (beside and (path == own or not path.is_file())):
            continue
        entry: dict[str, Any] = {"path": str(path), "found": False, "values": {}, "fault": None}
        try:
            settings = read(path, parser, beside=beside)
            entry["found"] = settings is not None
            entry["values"] = {} if settings is None else _plain(settings)
        except VsvfiError as error:
            entry |= {"found": True, "fault": str(error)}
        reported.append(entry)
    return reported


def _working_folder() -> Path | None:
    try:
        return Path.cwd() / NAME
    except OSError:  # it is gone
        return None


def _plain(settings: Settings) -> dict[str, dict[str, str]]:
    """The values of a file as text, without empty tables."""
    return {
        command or "all": {name.replace("_", "-"): str(value) for name, value in values.items()}
        for command, values in settings.values.items()
        if values
    }


def source_folder(arguments: argparse.Namespace) -> Path | None:
    """Return the folder of the video or of the first image that a command gets."""
    source = getattr(arguments, "video", None)
    images = getattr(arguments, "images", None)
    if source is None and isinstance(images, list) and images:
        source = images[0]
    return Path(source).absolute().parent if isinstance(source, str | Path) else None


def _given(argv: Sequence[str] | None) -> set[str]:
    """Return the names of the options on the command line, with those given as `-a NAME=VALUE`."""
    parser = build_parser()
    inner = list(subparsers(parser).values())
    for one in [parser, *inner, *(last for middle in inner for last in subparsers(middle).values())]:
        for action in one._actions:
            action.default = argparse.SUPPRESS
    found = vars(parser.parse_args(argv))
    pairs = found.get("arg") or []
    return {*found, *(pair.partition("=")[0] for pair in pairs)} - {"arg"}


def _without(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Leave out the entries that others replace or contradict."""
    bare = {name.removeprefix("arg.") for name in names}
    gone = bare | {other for name in bare for other in _INSTEAD.get(name, ())}
    return {name: value for name, value in values.items() if name.removeprefix("arg.") not in gone}
