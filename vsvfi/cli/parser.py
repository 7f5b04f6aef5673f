"""The parser of the command `vsvfi`, put together from the modules of its subcommands."""

from __future__ import annotations

import argparse
import difflib
import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from vsvfi import __version__
from vsvfi.cli.completion import SHELLS, PrintCompletion
from vsvfi.topics import reference

COMMANDS = ("models", "doctor", "render", "join", "frames", "compare", "bench", "export", "explain")

DESCRIPTION = "Video frame interpolation for VapourSynth."

EXIT_CODES = {
    0: "done",
    1: "failed; stderr says why",
    2: "an argument or a setting is wrong",
    130: "interrupted (Ctrl-C, or a signal to end); what was unfinished is removed or can be resumed",
}
"""Every exit code of the command."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others: what is wrong, and what to do."""

    def error(self, message: str) -> NoReturn:
        near = self._near(message)
        remedy = f"did you mean {near[0]}? " if near else ""
        self.exit(2, f"vsvfi: {message}; {remedy}see '{self.prog} --help' ({reference('arguments')})\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and refuse unknown options here, where it is known which ones there are."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def _near(self, message: str) -> Sequence[str]:
        """Return the command or option that was probably meant."""
        if choice := re.search(r"invalid choice: '([^']*)'", message):
            return difflib.get_close_matches(choice[1], subparsers(self), n=1, cutoff=0.6)
        if option := re.search(r"unrecognized arguments: (--[\w-]+)", message):
            return difflib.get_close_matches(option[1], self._option_string_actions, n=1, cutoff=0.6)
        return []


def build_parser() -> argparse.ArgumentParser:
    """Return the parser. `run`, `command` and the options of messages are set for every subcommand."""
    parser = Parser(prog="vsvfi", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"vsvfi {__version__}")
    parser.add_argument(
        "--print-completion", action=PrintCompletion, choices=SHELLS, help="print what completes commands in a shell"
    )
    _add_messages(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"vsvfi.cli.{name}")
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.main, command=name)
        for inner in [command, *subparsers(command).values()]:
            _add_messages(inner)
    return parser


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a parser's subcommands by name."""
    return {name: inner for action in _choices(parser) for name, inner in (action.choices or {}).items()}


def _choices(parser: argparse.ArgumentParser) -> Iterator[argparse._SubParsersAction[argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield action


def _add_messages(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command has; a subcommand's own value replaces the one before it."""
    group = parser.add_argument_group("messages and settings")
    none = argparse.SUPPRESS  # `with_defaults` fills in what neither level has
    group.add_argument(
        "-v", "--verbose", action="count", default=none, help="say more; -vv also what started programs say"
    )
    group.add_argument("-q", "--quiet", action="store_true", default=none, help="print errors alone")
    group.add_argument(
        "--log-file", metavar="FILE", type=Path, default=none, help="also append all messages, with times, to FILE"
    )
    group.add_argument("--no-config", action="store_true", default=none, help="read no vsvfi.toml")


def with_defaults(arguments: argparse.Namespace) -> argparse.Namespace:
    """Fill in the options of messages that were not given."""
    for name, value in {"verbose": 0, "quiet": False, "log_file": None, "no_config": False}.items():
        if not hasattr(arguments, name):
            setattr(arguments, name, value)
    return arguments
