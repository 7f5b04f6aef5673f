"""`vsvfi --print-completion SHELL`: a script that completes commands and options in a shell, made by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
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
        print(shtab.complete(parser, shell=str(values)))
        parser.exit(0)
