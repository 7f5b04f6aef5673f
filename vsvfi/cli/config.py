"""Read `vsvfi.toml`: defaults for the options of commands.

    [render]
    model = "rife"          # --model rife
    crf = 16

    [render.arg]            # -a scene_threshold=0.1
    scene_threshold = 0.1

There are two: the user's, and one beside the video or image that a command gets. The command line comes before the
file beside, that before the user's, that before what is built in. Since videos come from strangers, the file beside
one may set no option that names a file, an address, or another program's options. Scripts that call
`vsvfi.interpolate()` read neither: a script gives the same frames everywhere.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsvfi import options
from vsvfi.cli.parser import subparsers
from vsvfi.errors import ArgumentError
from vsvfi.packages import one_line

NAME = "vsvfi.toml"

NEVER = frozenset(
    [
        *("help", "version", "print_completion", "no_config", "json", "output", "overwrite", "new_only"),
        *("start", "end", "trim", "number", "times", "animation", "beside", "flow_animation", "random_weights"),
        *("no_job", "plan", "restart", "upload"),
    ]
)
"""Options of a single run."""

PRIVATE = frozenset(["filter", "weights", "encoder_args", "log_file", "scheduler", "job", "timecodes"])
"""Options that only the user's own file may set: they name files, hosts, or another program's options."""

UNSET = ("doctor", "explain")
"""Commands without settings: they help where those are wrong."""

_MOST = 1 << 20
"""Bytes of a file that can be settings."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One file.

    Attributes:
        path: of the file.
        values: by command, then by the name that the parser gives an option; `arg.NAME` for `-a NAME=VALUE`. The
            command "" stands for all.
    """

    path: Path
    values: Mapping[str, Mapping[str, Any]]


def user_file() -> Path | None:
    """Return the path of the user's file, VSVFI_CONFIG or in the platform's folder; None if there is no home.

    Raises:
        ArgumentError: VSVFI_CONFIG names no file.
    """
    if chosen := os.environ.get("VSVFI_CONFIG"):
        path = Path(chosen).absolute()
        if not path.exists():
            raise ArgumentError("VSVFI_CONFIG", chosen, "does not exist", "correct it, or unset it")
        return path
    try:
        return _platform_folder() / NAME
    except RuntimeError:  # no home
        return None


def _platform_folder() -> Path:
    """The folder of this user's settings by the platform's convention."""
    if sys.platform == "win32":
        roaming = os.environ.get("APPDATA")
        return (Path(roaming) if roaming else Path.home() / "AppData" / "Roaming") / "vsvfi"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "vsvfi"
    shared = Path(os.environ.get("XDG_CONFIG_HOME") or ".")
    return (shared if shared.is_absolute() else Path.home() / ".config") / "vsvfi"


def read(path: Path | None, parser: argparse.ArgumentParser, *, beside: bool) -> Settings | None:
    """Read a file; None if there is none.

    Args:
        parser: of the whole command.
        beside: it lies beside a source, not in the user's folder.

    Raises:
        ArgumentError: it is no TOML, a key is unknown or not allowed there, or a value does not fit.
    """
    if path is None:
        return None
    try:
        if path.is_dir() or not path.exists():
            return None
        with path.open("rb") as file:
            content = file.read(_MOST + 1)
        if len(content) > _MOST:
            raise ArgumentError(NAME, path, "is larger than 1 MiB", "it is no file of settings; rename it")
        table = tomllib.loads(content.decode())
    except OSError as error:
        raise ArgumentError(NAME, path, f"cannot be read ({error.strerror})", "correct its permissions") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ArgumentError(NAME, path, f"is no TOML ({one_line(error)})", "correct it, or use --no-config") from error
    reader = _Reader(path, beside)
    commands = {name: inner for name, inner in subparsers(parser).items() if name not in UNSET}
    values: dict[str, dict[str, Any]] = {"": {}}
    for key, value in table.items():
        if key in commands:
            if not isinstance(value, dict):
                raise reader.error(key, value, "must be a table", f"write [{key}] and its options below")
            values[key] = reader.table(key, commands[key], value)
        else:
            values[""] |= reader.entry("", _actions(parser), commands, key, value)
    return Settings(path, values)


class _Reader:
    """Checks the entries of one file."""

    def __init__(self, path: Path, beside: bool) -> None:
        self._path, self._beside = path, beside

    def error(self, key: str, value: object, rule: str, remedy: str) -> ArgumentError:
        """Return the error of an entry."""
        return ArgumentError(f"{self._path}: {key}", value, rule, remedy)

    def table(self, name: str, parser: argparse.ArgumentParser, table: Mapping[str, object]) -> dict[str, Any]:
        """Return the checked entries of a command."""
        actions, values = _actions(parser), dict[str, Any]()
        for key, value in table.items():
            if key == "arg" and "arg" in actions and isinstance(value, dict):
                values |= self._arguments(f"{name}.arg", value)
            else:
                values |= self.entry(f"{name}.", actions, (), key, value)
        return values

    def _arguments(self, name: str, table: Mapping[str, object]) -> dict[str, Any]:
        known = inspect.signature(options.parse).parameters
        for key, value in table.items():
            if key not in known:
                raise self._unknown(f"{name}.{key}", value, key, known, "an argument of interpolate()")
            self._check_place(f"{name}.{key}", value, key)
        return {
            f"arg.{key}": f"{key}={value if isinstance(value, str) else repr(value)}" for key, value in table.items()
        }

    def entry(
        self, prefix: str, actions: Mapping[str, argparse.Action], others: Iterable[str], key: str, value: object
    ) -> dict[str, Any]:
        """Return one entry as the parser would, by its name there."""
        dest, name = key.replace("-", "_"), prefix + key
        known = [action.replace("_", "-") for action in actions if action not in NEVER]
        if dest in NEVER and dest in actions:
            raise self.error(name, value, "is for a single run", "remove it, and give it on the command line")
        if dest not in actions or dest != actions[dest].dest:
            what = f"an option of vsvfi {prefix[:-1]}" if prefix else "a command or an option of all commands"
            raise self._unknown(name, value, key, [*others, *known], what)
        self._check_place(name, value, dest)
        return {dest: self._converted(actions[dest], name, value)}

    def _unknown(self, name: str, value: object, key: str, known: Iterable[str], what: str) -> ArgumentError:
        listed = sorted(known)
        near = difflib.get_close_matches(key[:64].lower(), listed, n=1, cutoff=0.5)
        return self.error(
            name, value, f"is not {what}", f"did you mean {near[0]}?" if near else f"known are {', '.join(listed)}"
        )

    def _check_place(self, name: str, value: object, dest: str) -> None:
        if self._beside and dest in PRIVATE:
            raise self.error(
                name, value, "may not be set by a file beside a video, which can come from a stranger",
                "set it in your own file (see vsvfi doctor), or use --no-config",
            )  # fmt: skip

    def _converted(self, action: argparse.Action, name: str, value: object) -> Any:
        """Return a value as the parser would make it of the command line."""
        if isinstance(action, argparse._StoreTrueAction):
            if not isinstance(value, bool):
                raise self.error(name, value, "must be true or false", "correct it")
            return value
        if action.nargs == 0:  # counted
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 2:
                raise self.error(name, value, "must be 0, 1 or 2", "correct it")
            return value
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.error(name, value, "must be text or a number", "correct it")
        try:
            converted = action.type(str(value)) if callable(action.type) else str(value)
        except (argparse.ArgumentTypeError, TypeError, ValueError) as error:
            raise self.error(name, value, f"does not fit ({one_line(error)})", "correct it") from None
        if action.choices is not None and converted not in action.choices:
            raise self.error(name, value, f"must be one of {', '.join(map(str, action.choices))}", "correct it")
        return converted


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the options of a parser by their name."""
    return {action.dest: action for action in parser._actions if action.option_strings}
