"""Write the man page `man/vsvfi.1` from the parsers of the command.

    python -m scripts.site.manpage

It is committed, since the wheel installs it and is built without vsvfi's dependencies; a test compares it. Nothing in
it depends on the version of Python, as argparse's own help does.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator

from scripts.site.pages import ROOT
from vsvfi import __version__
from vsvfi.cli.parser import DESCRIPTION, EXIT_CODES, build_parser, subparsers

PAGE = ROOT / "man" / "vsvfi.1"

_COMMON = ("help", "verbose", "quiet", "log_file", "no_config")

_FILES = {
    "~/.config/vsvfi/vsvfi.toml": "defaults for options; XDG_CONFIG_HOME moves it",
    "vsvfi.toml": "beside the video: defaults that come before the user's",
    "~/.cache/vsvfi": "downloaded weights and compiled kernels; XDG_CACHE_HOME or VSVFI_CACHE moves it",
}
_ENVIRONMENT = {
    "VSVFI_CACHE": "folder of downloads",
    "VSVFI_CONFIG": "the user's file of settings",
    "VSVFI_OFFLINE": "1: nothing is downloaded",
    "VSVFI_DEBUG": "1: errors with their traceback",
    "NO_COLOR": "no colour",
}


def page() -> str:
    """Return the man page."""
    parser = build_parser()
    lines = [
        f'.TH VSVFI 1 "" "vsvfi {__version__}" "User Commands"',
        ".SH NAME",
        r"vsvfi \- video frame interpolation for VapourSynth",
        ".SH SYNOPSIS",
        r".B vsvfi",
        r"[\fIOPTION\fR...] \fICOMMAND\fR [\fIARGUMENT\fR...]",
        ".SH DESCRIPTION",
        _text(DESCRIPTION),
        *_options(parser, ".SH OPTIONS"),
        ".PP",
        _text("Those of messages and settings may also follow the command."),
    ]
    for name, command in subparsers(parser).items():
        lines += [f".SH VSVFI {name.upper()}", *_command(f"vsvfi {name}", command)]
        for action, inner in subparsers(command).items():
            lines += [f".SS vsvfi {name} {action}", *_command(f"vsvfi {name} {action}", inner)]
    for title, entries in (
        ("EXIT STATUS", {str(code): meaning for code, meaning in EXIT_CODES.items()}),
        ("ENVIRONMENT", _ENVIRONMENT),
        ("FILES", _FILES),
    ):
        lines.append(f".SH {title}")
        for term, text in entries.items():
            lines += [".TP", rf"\fB{_text(term)}\fR", _text(text)]
    return "\n".join(lines) + "\n"


def _command(name: str, parser: argparse.ArgumentParser) -> list[str]:
    usage = [part for action in _arguments(parser) for part in _placeholder(action)]
    return [
        rf".B {_text(name)}",
        rf"[\fIOPTION\fR...] {' '.join(usage)}".rstrip(),
        ".PP",
        _text(_sentence(parser.description or "")),
        *_options(parser, ".PP", _COMMON),
    ]


def _placeholder(action: argparse.Action) -> Iterator[str]:
    text = rf"\fI{_text(str(action.metavar or action.dest))}\fR"
    yield f"{text}..." if action.nargs in ("+", "*") else text


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings]


def _options(parser: argparse.ArgumentParser, heading: str, left_out: Collection[str] = ()) -> list[str]:
    """Describe arguments and options."""
    lines = [heading]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help in (None, argparse.SUPPRESS):
            continue
        if action.dest in left_out:
            continue
        terms = [rf"\fB{_text(option)}\fR" for option in action.option_strings] or list(_placeholder(action))
        if action.option_strings and action.nargs != 0:
            value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else None)
            terms[-1] += rf" \fI{_text(str(value or action.dest.upper()))}\fR"
        lines += [".TP", ", ".join(terms), _text(_sentence(str(action.help).replace("%%", "%")))]
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def _text(text: str) -> str:
    """Escape what troff would read."""
    escaped = " ".join(text.split()).replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
