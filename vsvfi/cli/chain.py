"""Run `vspipe script | ffmpeg`, and give the output its name only when it is complete.

The script writes the properties of its clip to a file, from which ffmpeg's command is built; then ffmpeg is started.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsvfi.cli.console import say
from vsvfi.cli.diagnosis import explain_ffmpeg, explain_vspipe
from vsvfi.cli.interrupts import interruptible
from vsvfi.cli.output import Output
from vsvfi.cli.process import Program, programs
from vsvfi.cli.programs import find_vspipe, vspipe_environment
from vsvfi.errors import VsvfiError

_PROGRESS = re.compile(r"Frame: (\d+)/(\d+)(?: \(([\d.]+) fps\))?")
_FINISHED = re.compile(r"Output (\d+) frames in ([\d.]+) seconds")
_SHOWN = ("Warning: ", "Information: interpolate: ")
_FULL = 1 << 16
"""Free bytes below which a disk counts as full."""
_GRACE = 10.0
"""Seconds that one program may continue after the other has exited early."""

type Report = Callable[[int, int, float], None]
"""Takes frames done, frames in all, and frames per second so far."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a chain.

    Attributes:
        frames: frames that went through the pipe.
        total: seconds from the start of the programs.
        running: seconds from the first frame.
    """

    frames: int
    total: float
    running: float


def run_chain(
    script: Path,
    arguments: Mapping[str, str],
    facts: Path,
    command: Callable[[Mapping[str, Any], Path], Sequence[str]],
    output: Output,
    *,
    vspipe_options: Sequence[str] = (),
    report: Report | None = None,
    verify: Callable[[Path], None] | None = None,
) -> Outcome:
    """Pipe a script through an encoder.

    Args:
        script: the .vpy.
        arguments: what vspipe passes to it.
        facts: the JSON file that the script writes when it has been evaluated.
        command: builds ffmpeg's command from those facts and the temporary file to write.
        output: the claimed output; it gets its name when both programs have succeeded.
        vspipe_options: such as -r.
        report: called with the progress.
        verify: reads the finished file before it gets its name, and raises if it is not as planned.

    Raises:
        VsvfiError: names the program that failed and why, or is raised by `verify`; no file is left then.
    """
    vspipe = [find_vspipe(), "-p", *vspipe_options]
    for name, value in arguments.items():
        vspipe += ["-a", f"{name}={value}"]
    started = time.monotonic()
    with interruptible(), programs() as group:
        reader = group.start(
            "vspipe",
            [*vspipe, str(script), "-"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**vspipe_environment(), **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(output.scratch))},
            heard=_listener(report),
        )
        raw = _await_facts(facts, reader)
        begun = time.monotonic()
        unfinished = output.begin()
        assert reader.process.stdout is not None
        writer = group.start("ffmpeg", command(raw, unfinished), stdin=reader.process.stdout, stdout=subprocess.DEVNULL)
        reader.process.stdout.close()  # our copy; while it is open, vspipe does not notice that ffmpeg has exited
        _watch(reader, writer)
        _check(reader, writer, output)
        ended = time.monotonic()
        if unfinished.stat().st_size == 0:
            raise VsvfiError(_nothing_written(unfinished.parent))
        if verify is not None:
            verify(unfinished)
        output.publish()
    return Outcome(_frames(reader) or 0, ended - started, ended - begun)


def evaluate(script: Path, arguments: Mapping[str, str], facts: Path, scratch: Path) -> Mapping[str, Any]:
    """Let vspipe evaluate a script without output; returns the facts that it writes.

    Args:
        script, arguments, facts: as for `run_chain`.
        scratch: a folder for temporary files.

    Raises:
        VsvfiError: the script failed.
    """
    command = [find_vspipe(), "--info"]
    for name, value in arguments.items():
        command += ["-a", f"{name}={value}"]
    with interruptible(), programs() as group:
        reader = group.start(
            "vspipe",
            [*command, str(script)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**vspipe_environment(), **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))},
            heard=_listener(None),
        )
        raw = _await_facts(facts, reader)
        if reader.wait() != 0:
            raise VsvfiError(f"vspipe: {explain_vspipe(_said(reader), reader.ending())}")
    return raw


def _listener(report: Report | None) -> Callable[[str], str]:
    """Handle a line of vspipe: progress goes to `report`, warnings to stderr, the rest is kept."""

    def heard(line: str) -> str:
        progress = _PROGRESS.search(line)
        if progress and report is not None:
            report(int(progress[1]), int(progress[2]), float(progress[3] or 0))
        line = _PROGRESS.sub("", line).strip()
        if line.startswith(_SHOWN):
            say(line.removeprefix("Information: "))
            return ""
        return "" if line.startswith("Creating lwi index") else line

    return heard


def _frames(reader: Program) -> int | None:
    """Return how many frames vspipe reports to have written, None if it has not finished."""
    found = [match for line in reader.lines if (match := _FINISHED.search(line))]
    return int(found[-1][1]) if found else None


def _nothing_written(folder: Path) -> str:
    """Explain an empty output; ffmpeg may exit with success on a full disk."""
    if shutil.disk_usage(folder).free < _FULL:
        return f"ffmpeg: it wrote nothing, and the disk of {str(folder)!r} is full; free some space"
    return "ffmpeg: it reported success but wrote nothing; check that it is a real ffmpeg"


def _await_facts(path: Path, reader: Program) -> Mapping[str, Any]:
    """Return the facts once the script has been evaluated."""
    while not path.exists():
        try:
            reader.process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        if not path.exists():
            reader.wait()
            raise VsvfiError(f"vspipe: {explain_vspipe(_said(reader), reader.ending())}")
    facts: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def _watch(reader: Program, writer: Program) -> None:
    """Wait for both to exit; if one exits early, stop the other after a grace period."""
    deadline = None
    while True:
        read, written = reader.process.poll(), writer.process.poll()
        if read is not None and written is not None:
            break
        early = (written is not None and _frames(reader) is None) or (read is not None and read != 0)
        now = time.monotonic()
        deadline = (deadline or now + _GRACE) if early else None
        if deadline is not None and now > deadline:
            (reader if read is None else writer).stop()
        time.sleep(0.02)
    reader.wait()
    writer.wait()


def _check(reader: Program, writer: Program, output: Output) -> None:
    """Raise for the program that failed first: a write error of vspipe is caused by ffmpeg."""
    read, written = reader.process.returncode, writer.process.returncode
    unheard = read != 0 and _frames(reader) is None and _unheard(reader)
    ending = writer.ending()
    if unheard and writer.stopped:
        ending = "it closed the pipe before it had read all frames, went on running, and was stopped"
    elif unheard and written != 0 and not writer.lines:
        ending += "; it closed the pipe before it had read all frames"
    if unheard and written != 0 and not writer.lines:
        raise VsvfiError(
            f"ffmpeg: {ending}, and gave no reason. Check free memory, the encoder, and that it is a real ffmpeg"
        )
    if written != 0 and (read == 0 or unheard):
        raise VsvfiError(f"ffmpeg: {explain_ffmpeg(writer.lines, ending, output.path)}")
    if unheard:
        raise VsvfiError(
            "ffmpeg: it ended before it had read all frames, without an error; check that it is a real ffmpeg"
        )
    if read != 0:
        raise VsvfiError(f"vspipe: {explain_vspipe(_said(reader), reader.ending())}")


def _unheard(reader: Program) -> bool:
    """Return whether vspipe exited because its pipe was closed."""
    if reader.process.returncode == -getattr(signal, "SIGPIPE", 0):
        return True
    return reader.stopped or any("fwrite() call failed" in line for line in reader.lines)


def _said(reader: Program) -> list[str]:
    return [line for line in reader.lines if not _FINISHED.match(line)]
