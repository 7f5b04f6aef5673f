"""The progress of a job over all its workers, as text and as values for programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vsvfi.jobs.chunks import Chunk


@dataclass(slots=True)
class _Working:
    chunk: Chunk
    frames: int = 0
    rate: float = 0.0


class Progress:
    """Counts frames and chunks.

    Args:
        chunks: of the whole job.
        done: those that were finished before.
        clock: seconds, for tests.
    """

    def __init__(
        self, chunks: Sequence[Chunk], done: Sequence[Chunk], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._began = clock, clock()
        self._all, self._frames = len(chunks), sum(chunk.frames for chunk in chunks)
        self._before = sum(chunk.frames for chunk in done)
        self._finished_frames, self._finished = self._before, len(done)
        self._failed: list[int] = []
        self._workers: dict[str, _Working | None] = {}
        self._verifying: dict[Chunk, int] = {}

    def waiting(self, worker: str) -> None:
        """A worker has nothing to do."""
        self._workers[worker] = None

    def started(self, worker: str, chunk: Chunk) -> None:
        """A worker begins a chunk."""
        self._workers[worker] = _Working(chunk)

    def advanced(self, worker: str, frames: int, rate: float = 0.0) -> None:
        """Record how many frames of its chunk a worker has rendered."""
        working = self._workers.get(worker)
        if working is not None:
            working.frames, working.rate = min(frames, working.chunk.frames), rate

    def rendered(self, worker: str, chunk: Chunk) -> None:
        """A chunk is being verified; its worker may begin another one."""
        self._workers[worker] = None
        self._verifying[chunk] = chunk.frames

    def finished(self, worker: str, chunk: Chunk) -> None:
        """A chunk is done."""
        self._end(worker, chunk)
        self._finished += 1
        self._finished_frames += chunk.frames

    def failed(self, worker: str, chunk: Chunk, *, for_good: bool) -> None:
        """A try of a chunk has failed."""
        self._end(worker, chunk)
        if for_good:
            self._failed.append(chunk.number)

    def gone(self, worker: str) -> None:
        """A worker is lost."""
        self._workers.pop(worker, None)

    def _end(self, worker: str, chunk: Chunk) -> None:
        working = self._workers.get(worker)
        if self._verifying.pop(chunk, None) is None or (working is not None and working.chunk == chunk):
            self._workers[worker] = None

    def values(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        working = {name: one for name, one in self._workers.items() if one is not None}
        frames = self._finished_frames + sum(one.frames for one in working.values())
        frames += sum(self._verifying.values())
        elapsed = max(self._clock() - self._began, 1e-6)
        speed = (frames - self._before) / elapsed
        return {
            "event": "progress",
            "chunks_done": self._finished,
            "chunks": self._all,
            "chunks_failed": list(self._failed),
            "frames_done": frames,
            "frames": self._frames,
            "frames_per_second": round(speed, 3),
            "seconds_left": round((self._frames - frames) / speed, 1) if speed else None,
            "workers": {
                name: None
                if one is None
                else {
                    "chunk": one.chunk.number,
                    "frames_done": one.frames,
                    "frames": one.chunk.frames,
                    "frames_per_second": one.rate,
                }
                for name, one in self._workers.items()
            },
        }

    def text(self) -> str:
        """Return one line."""
        now = self.values()
        left = "" if now["seconds_left"] is None else f", {clock_time(now['seconds_left'])} left"
        workers = [
            f"{name}: chunk {one.chunk.number} at {100 * one.frames // one.chunk.frames} %" if one else f"{name}: idle"
            for name, one in self._workers.items()
        ]
        return (
            f"{now['chunks_done']} of {now['chunks']} chunks done, frame {now['frames_done']}/{now['frames']}, "
            f"{now['frames_per_second']:.2f} frames/s{left}" + (f" | {', '.join(workers)}" if workers else "")
        )


def clock_time(seconds: float) -> str:
    """Format a duration: 1:02:03, 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
