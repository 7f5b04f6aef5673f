"""The page of commands, from the help texts of `vsvfi`."""

from __future__ import annotations

import argparse
import os
from unittest import mock

from vsvfi.cli import _parser

_MARK = "<!-- commands -->"


def inserted(markdown: str) -> str:
    """Replace the mark `<!-- commands -->` of a page by the help of every command."""
    return markdown.replace(_MARK, _helps()) if _MARK in markdown else markdown


def _helps() -> str:
    lines = []
    with mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}):
        for name, parser in _subparsers(_parser()).items():
            lines += [f"## vsvfi {name}", "", "```text", parser.format_help().rstrip(), "```", ""]
            for action, inner in _subparsers(parser).items():
                lines += [f"### vsvfi {name} {action}", "", "```text", inner.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found
