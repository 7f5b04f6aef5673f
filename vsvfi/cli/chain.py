"""Runs `vspipe script | ffmpeg`: starts both, watches both, ends both, and lets a file appear under its name only when it is whole.

Knows neither clips nor encoders. The script says what it is by leaving facts in a file; only then is ffmpeg's command known and ffmpeg started.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from vsvfi.cli.media import last_line
from vsvfi.cli.programs import find_vspipe, vspipe_environment
from vsvfi.errors import VsvfiError

_PROGRESS = re.compile(r"Frame: (\d+)/(\d+)(?: \(([\d.]+) fps\))?")
_FINISHED = re.compile(r"Output (\d+) frames in ([\d.]+) seconds")
_SHOWN = ("Warning: ", "Information: interpolate: ")

type Report = Callable[[int, int, float], None]
"""Takes frames done, frames in all, and frames per second so far."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a chain: frames through the pipe, and seconds from the start of the programs (`total`) and of the frames (`running`)."""

    frames: int
    total: float
    running: float


def run_chain(
    script: Path,
    arguments: Mapping[str, str],
    facts: Path,
    command: Callable[[Mapping[str, Any]], Sequence[str]],
    target: Path,
    *,
    vspipe_options: Sequence[str] = (),
    report: Report | None = None,
    verify: Callable[[Path], None] | None = None,
) -> Outcome:
    """Pipe a script through an encoder.

    Args:
        script: the .vpy.
        arguments: what vspipe passes to it.
        facts: the JSON file that the script leaves when it has been evaluated.
        command: from those facts to ffmpeg's command; it writes `partial(target)`.
        target: where the result appears, replacing what was there, when both programs have succeeded.
        vspipe_options: such as -s, -e, -r.
        report: is told about progress.
        verify: reads the finished file before it gets its name, and raises if it is not what was planned.

    Raises:
        VsvfiError: with the last line of whichever program failed, or from `verify`; nothing new is left under
            `target` then.
    """
    vspipe = [find_vspipe(), "-c", "y4m", "-p", *vspipe_options]
    for name, value in arguments.items():
        vspipe += ["-a", f"{name}={value}"]
    started = time.monotonic()
    unfinished = partial(target)
    try:
        with _programs() as programs:
            reader = programs.start([*vspipe, str(script), "-"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=vspipe_environment(), report=report)
            raw = _await_facts(facts, reader)
            begun = time.monotonic()
            assert reader.process.stdout is not None
            writer = programs.start(command(raw), stdin=reader.process.stdout, stdout=subprocess.DEVNULL)
            reader.process.stdout.close()  # ours; with it open, vspipe would never learn that ffmpeg is gone
            _check(reader, writer)
            ended = time.monotonic()
        frames = _FINISHED.search("\n".join(reader.lines))
        if verify is not None:
            verify(unfinished)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return Outcome(int(frames[1]) if frames else 0, ended - started, ended - begun)


def partial(target: Path) -> Path:
    """The name a file has until it is whole."""
    return target.with_name(target.name + ".partial")


@dataclass(slots=True)
class _Program:
    """A running program and what it says on stderr."""

    process: subprocess.Popen[bytes]
    report: Report | None
    lines: list[str] = field(default_factory=list)
    listener: threading.Thread | None = None

    def listen(self) -> None:
        """Read stderr to its end: progress goes to `report`, warnings to people, everything else is kept for the last word."""
        stream = self.process.stderr
        assert stream is not None
        for line in _lines(stream):
            progress = _PROGRESS.search(line)
            if progress and self.report is not None:
                self.report(int(progress[1]), int(progress[2]), float(progress[3] or 0))
            line = _PROGRESS.sub("", line).strip()
            if line.startswith(_SHOWN):
                print(line.removeprefix("Information: "), file=sys.stderr, flush=True)
            elif line and not line.startswith("Creating lwi index"):
                self.lines.append(line)
                del self.lines[:-200]

    def last(self) -> str:
        """The line to blame, without the exception's type."""
        said = [line for line in self.lines if not _FINISHED.match(line)]
        return re.sub(r"^(vapoursynth\.)?(Error|ValueError|TypeError|RuntimeError): ", "", last_line("\n".join(said), f"exit code {self.process.returncode}"))

    def wait(self) -> int:
        """Its exit code, once it has ended and everything it said has been read."""
        code = self.process.wait()
        if self.listener is not None:
            self.listener.join()
        return code


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines that end in a line feed or, as progress does, in a carriage return."""
    rest = b""
    while chunk := os.read(stream.fileno(), 4096):
        *whole, rest = re.split(rb"[\r\n]", rest + chunk)
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")


class _Group:
    """The programs of one chain. They do not get the terminal's Ctrl-C: we do, and end them in order."""

    def __init__(self) -> None:
        self.programs: list[_Program] = []

    def start(
        self, command: Sequence[str], *, stdin: int | IO[bytes], stdout: int, env: Mapping[str, str] | None = None, report: Report | None = None
    ) -> _Program:
        own = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)} if os.name == "nt" else {"process_group": 0}
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=env, **own)
        program = _Program(process, report)
        self.programs.append(program)
        program.listener = threading.Thread(target=program.listen, daemon=True)
        program.listener.start()
        return program

    def end(self) -> None:
        """Stop whatever still runs, and leave no pipe open."""
        for program in self.programs:
            if program.process.poll() is None:
                program.process.terminate()
        for program in self.programs:
            try:
                program.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                program.process.kill()
            program.wait()
            for stream in (program.process.stdout, program.process.stderr):
                if stream is not None:
                    stream.close()


@contextlib.contextmanager
def _programs() -> Iterator[_Group]:
    """A group that is ended however the block is left; SIGTERM leaves it like Ctrl-C does."""
    group = _Group()

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, interrupt) if in_main else None
    try:
        yield group
    finally:
        group.end()
        if in_main:
            signal.signal(signal.SIGTERM, before)


def _await_facts(path: Path, reader: _Program) -> Mapping[str, Any]:
    """The facts, as soon as the script has been evaluated."""
    while not path.exists():
        try:
            reader.process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        if not path.exists():
            reader.wait()
            raise VsvfiError(f"vspipe: {reader.last()}")
    facts: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def _check(reader: _Program, writer: _Program) -> None:
    """Wait for both; if vspipe failed only because nobody took its frames, the fault is ffmpeg's."""
    read_code, write_code = reader.wait(), writer.wait()
    unheard = read_code == -getattr(signal, "SIGPIPE", 0) or any("fwrite() call failed" in line for line in reader.lines)
    if write_code != 0 and (read_code == 0 or unheard):
        raise VsvfiError(f"ffmpeg: {writer.last()}")
    if read_code != 0:
        raise VsvfiError(f"vspipe: {reader.last()}")
