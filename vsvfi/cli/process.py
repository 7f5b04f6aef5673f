"""Run a group of programs: their stderr is read meanwhile, and all are stopped when the block is left."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from vsvfi.cli.interrupts import shielded
from vsvfi.errors import VsvfiError

_log = logging.getLogger(__name__)

_LONGEST_LINE = 4096
_KEPT_LINES = 200
_PATIENCE = 5.0
"""Seconds for a program to exit after SIGTERM, and for its stderr to close after its exit."""


@dataclass(slots=True)
class Program:
    """A running program.

    Attributes:
        name: its name in messages.
        process: the process, the leader of its own process group if the system has groups.
        heard: called with every line of its stderr; returns the text to keep, "" for none.
        lines: the last lines that were kept.
        stopped: it was still running when we stopped it.
    """

    name: str
    process: subprocess.Popen[bytes]
    heard: Callable[[str], str]
    lines: list[str] = field(default_factory=list)
    stopped: bool = False
    listener: threading.Thread | None = None

    def listen(self) -> None:
        """Read stderr to its end."""
        stream = self.process.stderr
        assert stream is not None
        for line in _lines(stream):
            kept = self.heard(line)
            if kept:
                _log.debug("%s: %s", self.name, kept)
                self.lines.append(kept)
                del self.lines[:-_KEPT_LINES]

    def wait(self) -> int:
        """Wait until it has exited and its stderr has been read; returns the exit code."""
        code = self.process.wait()
        if self.listener is not None:
            self.listener.join(_PATIENCE)  # a remaining child process may keep stderr open
        return code

    def stop(self) -> None:
        """Terminate it and its children, and kill them if they do not exit."""
        if self.process.poll() is None:
            self.stopped = True
            self._signal(signal.SIGTERM)
            until = time.monotonic() + _PATIENCE
            while self.process.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        self.wait()

    def ending(self) -> str:
        """Describe how it exited."""
        code = self.process.returncode
        if self.stopped:
            return "it did not exit by itself and was stopped"
        if code is None or code >= 0 or os.name == "nt":
            return f"exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = ", which the system does when memory runs out" if name == "SIGKILL" else ""
        return f"it was ended by {name}{hint}"

    def _signal(self, number: int) -> None:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, number)
            elif self.process.poll() is None:
                self.process.terminate()


class Group:
    """The programs of one chain. Ctrl-C does not reach them: this process gets it and stops them in order."""

    def __init__(self) -> None:
        self.programs: list[Program] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        stdin: int | IO[bytes],
        stdout: int,
        env: Mapping[str, str] | None = None,
        heard: Callable[[str], str] = str.strip,
    ) -> Program:
        """Start a program and a thread that reads its stderr.

        Raises:
            VsvfiError: the system cannot start it.
        """
        own: dict[str, Any] = {"process_group": 0}
        if os.name == "nt":
            own = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        _log.info("starting %s", shlex.join(map(str, command)))
        with shielded():
            try:
                process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=env, **own)
            except (OSError, ValueError) as error:
                raise VsvfiError(
                    f"{name} cannot be started ({error}); check {command[0]!r} and the arguments"
                ) from error
            program = Program(name, process, heard)
            self.programs.append(program)
            program.listener = threading.Thread(target=program.listen, daemon=True)
            program.listener.start()
        return program

    def end(self) -> None:
        """Stop all programs that still run, and close their pipes."""
        for program in self.programs:
            program.stop()
            listening = program.listener is not None and program.listener.is_alive()
            for stream in (program.process.stdout, None if listening else program.process.stderr):
                if stream is not None:
                    stream.close()


@contextlib.contextmanager
def programs() -> Iterator[Group]:
    """Context manager of a group whose programs are stopped at exit."""
    group = Group()
    try:
        yield group
    finally:
        with shielded():
            group.end()


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Yield lines ended by a line feed or, as in progress reports, by a carriage return; long lines are cut."""
    rest = b""
    while chunk := os.read(stream.fileno(), 1 << 16):
        *whole, rest = re.split(rb"[\r\n]", rest + chunk)
        rest = rest[:_LONGEST_LINE]
        yield from (_text(line) for line in whole)
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    text = line[:_LONGEST_LINE].decode(errors="replace")
    return "".join(character if character.isprintable() or character == "\t" else " " for character in text)
