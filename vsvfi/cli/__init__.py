"""The command `vsvfi`.

Each subcommand is a module of this package with `HELP`, `add_arguments(parser)` and `main(arguments) -> int`, cheap to
import.

Exit codes are `parser.EXIT_CODES`. VSVFI_DEBUG=1 shows where an error comes from.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from vsvfi.cli.console import fail, messages, say, show
from vsvfi.cli.defaults import apply_settings
from vsvfi.cli.parser import build_parser, with_defaults
from vsvfi.errors import ArgumentError, VsvfiError, for_command
from vsvfi.packages import one_line
from vsvfi.topics import with_help

_log = logging.getLogger("vsvfi.cli")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` excludes the program name, None takes the process's arguments."""
    _write_anything()
    arguments = argparse.Namespace()
    try:
        parser = build_parser()
        if not (sys.argv[1:] if argv is None else argv):
            parser.print_help(sys.stderr)
            return 2
        arguments = with_defaults(parser.parse_args(argv))
        code = _run(arguments, argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit:  # argparse has printed its message or the help
        _flush_quietly()
        raise
    except KeyboardInterrupt:
        _flush_quietly()
        return 130
    except BrokenPipeError:  # the reader of our output has exited
        _discard_output()
        return 1
    except Exception as error:
        return _failed(error, arguments)
    return code


def _run(arguments: argparse.Namespace, argv: Sequence[str] | None) -> int:
    """Run the chosen command; an error is reported while its log file is open."""
    notes = apply_settings(arguments, argv)
    verbosity = -1 if arguments.quiet else arguments.verbose
    with messages(verbosity, arguments.log_file, sys.argv if argv is None else ["vsvfi", *argv]):
        for note, quiet in notes:
            (_log.info if quiet else say)(note)
        try:
            return int(arguments.run(arguments))
        except BrokenPipeError:
            raise
        except Exception as error:
            return _failed(error, arguments)


def _failed(error: Exception, arguments: argparse.Namespace) -> int:
    """Report an error and return the exit code."""
    _flush_quietly()
    weights, model = (getattr(arguments, f"{name}_option", f"--{name}") for name in ("weights", "model"))
    text = for_command(_explain(error), weights=weights, model=model)
    fail(f"vsvfi: {with_help(text, error)}", error)
    return 2 if isinstance(error, ArgumentError) else 1


def _explain(error: Exception) -> str:
    """Describe a command's error in one line."""
    if os.environ.get("VSVFI_DEBUG", "") not in ("", "0"):
        show("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, VsvfiError) or type(error).__module__ == "vapoursynth":
        return " ".join(str(error).split("\n"))
    if isinstance(error, OSError):  # a full or read-only disk, a folder in place of a file: the user can fix these
        named = f": {os.fsdecode(error.filename)!r}" if isinstance(error.filename, str | bytes) else ""
        return f"{error.strerror or one_line(error)}{named}"
    if isinstance(error, MemoryError):
        return "out of memory; use a smaller --size or --scale, or close other programs"
    if isinstance(error, ImportError):
        return f"a package cannot be imported ({one_line(error)}); 'vsvfi doctor' says which are installed"
    return f"internal error ({one_line(error)}); VSVFI_DEBUG=1 shows where"


def _write_anything() -> None:
    """Let stdout and stderr accept every character: file names need not fit the terminal's encoding."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and stream.errors == "strict":
            reconfigure(errors="backslashreplace")


def _flush_quietly() -> None:
    """Flush the streams now, so that this cannot fail again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _discard_output()


def _discard_output() -> None:
    """Redirect stdout to the null device once it cannot be written to."""
    with contextlib.suppress(OSError, ValueError):  # a stand-in without a descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
