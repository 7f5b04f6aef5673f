"""Render one chunk in a process of its own: progress comes as JSON lines, messages go to a log.

The process stops when its standard input is closed, so it never outlives the one that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsvfi.jobs.chunks import Chunk
from vsvfi.jobs.retry import Failure, Try

_PATIENCE = 20.0
"""Seconds for a process to stop its programs and exit."""

type Report = Callable[[int, float], None]
"""Takes frames done, and frames per second."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A place where chunks are rendered.

    Attributes:
        name: unique within the job.
        device: of the engine, None for the job's own.
        threads: of the engine on a CPU, None for all.
    """

    name: str
    device: str | None = None
    threads: int | None = None


def chunk_command(job: Path, chunk: Chunk, worker: Worker, current: Try) -> list[str]:
    """Return the command that renders a chunk of the job in a folder."""
    command = [sys.executable, "-m", "vsvfi.cli.chunk", str(job), str(chunk.number), "--worker", worker.name]
    command += ["--try", str(current.number)]
    command += ["--device", worker.device] if worker.device else []
    command += ["--streams", str(current.streams)] if current.streams else []
    return command


def versions_command(encoder: str, muxer: str) -> list[str]:
    """Return the command that prints the versions on this machine, with an encoder for a container."""
    return [sys.executable, "-m", "vsvfi.cli.versions", encoder, muxer]


class ChunkProcess:
    """The process of one chunk.

    Args:
        command: see `chunk_command`.
        log: file to which its messages are appended.
        threads: see `Worker`.
    """

    def __init__(self, command: Sequence[str], log: Path, threads: int | None = None) -> None:
        own: dict[str, Any] = {"process_group": 0}
        if os.name == "nt":
            own = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        env = dict(os.environ) if threads is None else {**os.environ, "OMP_NUM_THREADS": str(threads)}
        with open(log, "ab") as messages:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages, env=env, **own
            )
        self._log = log
        self._stopping = threading.Lock()

    def run(self, report: Report, rendered: Callable[[], None] = lambda: None) -> Failure | None:
        """Wait until it has ended.

        Args:
            report: takes the progress.
            rendered: called when only the verification is left.

        Returns:
            None if the chunk is done, else why not.
        """
        answer: Mapping[str, Any] = {}
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                answer = json.loads(line)
                if "frames_done" in answer:
                    report(int(answer["frames_done"]), float(answer.get("frames_per_second", 0)))
                if answer.get("state") == "rendered":
                    rendered()
        code = self._process.wait()
        self._process.stdout.close()
        self._close()
        if code == 0 and answer.get("state") == "done":
            return None
        if "error" in answer:
            return Failure(str(answer["error"]), bool(answer.get("memory")))
        # The system kills what takes the most memory when it runs out.
        return Failure(f"its process ended with exit code {code}; see {self._log}", memory=code == -9)

    def stop(self) -> None:
        """End it together with its programs."""
        self._close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _close(self) -> None:
        with self._stopping, contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
