"""The command `vsvfi`. Each subcommand is a module of this package with `HELP`, `add_arguments(parser)` and `main(arguments) -> int`, light to import.

Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from vsvfi.errors import ArgumentError, VsvfiError

_COMMANDS = ("models", "doctor", "render", "bench")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` is without the program's name, None for the process's own."""
    arguments = _parser().parse_args(argv)
    try:
        code = int(arguments.run(arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
    except VsvfiError as error:
        print(f"vsvfi: {error}", file=sys.stderr)
        return 2 if isinstance(error, ArgumentError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough; what is still buffered must not fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full or read-only disk, a folder where a file should be: the user's to put right
        named = f": {os.fsdecode(error.filename)!r}" if isinstance(error.filename, str | bytes) else ""
        print(f"vsvfi: {error.strerror or error}{named}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vsvfi", description="Video frame interpolation for VapourSynth.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in _COMMANDS:
        module = importlib.import_module(f"{__name__}.{name}")
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.main)
    return parser
