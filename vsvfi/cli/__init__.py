"""The command `vsvfi`.

Each subcommand is a module of this package with `HELP`, `add_arguments(parser)` and `main(arguments) -> int`, cheap to
import.

Exit codes: 0 done, 1 failed (with the reason on stderr), 2 wrong arguments, 130 interrupted. VSVFI_DEBUG=1 shows
where an error comes from.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from vsvfi import __version__
from vsvfi.cli.completion import SHELLS, PrintCompletion
from vsvfi.errors import ArgumentError, VsvfiError, for_command
from vsvfi.packages import one_line

_COMMANDS = ("models", "doctor", "render", "join", "frames", "compare", "bench", "export")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` excludes the program name, None takes the process's arguments."""
    _write_anything()
    arguments = argparse.Namespace()
    try:
        arguments = _parser().parse_args(argv)
        code = int(arguments.run(arguments))
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
        _flush_quietly()
        weights, model = (getattr(arguments, f"{name}_option", f"--{name}") for name in ("weights", "model"))
        _say(f"vsvfi: {for_command(_explain(error), weights=weights, model=model)}")
        return 2 if isinstance(error, ArgumentError) else 1
    return code


def _explain(error: Exception) -> str:
    """Describe a command's error in one line."""
    if os.environ.get("VSVFI_DEBUG", "") not in ("", "0"):
        _say("".join(traceback.format_exception(error)).rstrip())
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


def _say(text: str) -> None:
    """Print a line on stderr if it can be written to."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vsvfi", description="Video frame interpolation for VapourSynth.")
    parser.add_argument("--version", action="version", version=f"vsvfi {__version__}")
    parser.add_argument(
        "--print-completion", action=PrintCompletion, choices=SHELLS, help="print what completes commands in a shell"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in _COMMANDS:
        module = importlib.import_module(f"{__name__}.{name}")
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.main)
    return parser
