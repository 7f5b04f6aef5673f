"""The page of commands, from the help texts of `vsvfi`."""

from __future__ import annotations

import os
from unittest import mock

from vsvfi.cli.parser import build_parser, subparsers

_MARK = "<!-- commands -->"


def inserted(markdown: str) -> str:
    """Replace the mark `<!-- commands -->` of a page by the help of every command."""
    return markdown.replace(_MARK, _helps()) if _MARK in markdown else markdown


def _helps() -> str:
    lines = []
    with mock.patch.dict(os.environ, {"COLUMNS": "76", "NO_COLOR": "1"}):
        for name, parser in subparsers(build_parser()).items():
            lines += [f"## vsvfi {name}", "", "```text", parser.format_help().rstrip(), "```", ""]
            for action, inner in subparsers(parser).items():
                lines += [f"### vsvfi {name} {action}", "", "```text", inner.format_help().rstrip(), "```", ""]
    return "\n".join(lines)
