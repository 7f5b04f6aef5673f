"""`vsvfi --print-completion SHELL`: a script that completes commands and options in a shell, made by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vsvfi.errors import VsvfiError
from vsvfi.packages import load

SHELLS = ("bash", "zsh", "fish", "powershell", "tcsh")


class PrintCompletion(argparse.Action):
    """Print the script and exit."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        shtab = load("shtab")
        if isinstance(shtab, str):
            raise VsvfiError(
                f"shtab, which writes completions, cannot be imported ({shtab}); pip install 'vsvfi[completion]'"
            )
        if values not in shtab.SUPPORTED_SHELLS:
            raise VsvfiError(f"the installed shtab writes no completions for {values}; pip install -U shtab")
        for action in _actions(parser):
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # read by shtab
        print(shtab.complete(parser, shell=str(values)))
        parser.exit(0)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the options and arguments of a parser and of its subcommands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
