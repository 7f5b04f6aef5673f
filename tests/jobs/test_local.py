"""Chunks on the workers of this machine, without processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from vsvfi.jobs.chunks import Chunk, from_starts
from vsvfi.jobs.local import Setting, run_locally
from vsvfi.jobs.progress import Progress
from vsvfi.jobs.retry import Failure, Try
from vsvfi.jobs.worker import Worker

CHUNKS = from_starts([0, 10, 20], 29)


class Silent:
    def tick(self, progress: Progress) -> None: ...

    def note(self, text: str) -> None: ...

    def finished(self, worker: str, chunk: Chunk) -> None: ...

    def failed(self, worker: str, chunk: Chunk, failure: Failure, following: Try | None) -> None: ...


def test_a_chunk_is_verified_while_the_next_one_is_rendered_but_not_two() -> None:
    begun = {chunk.number: threading.Event() for chunk in CHUNKS}
    faults: list[str] = []

    class Running:
        def __init__(self, chunk: Chunk) -> None:
            self.number = chunk.number

        def run(self, report: Any, rendered: Callable[[], None]) -> Failure | None:
            begun[self.number].set()
            rendered()
            if self.number == 1 and not begun[2].wait(5):
                faults.append("chunk 2 waits for the verification of chunk 1")
            if self.number == 1 and begun[3].wait(0.1):
                faults.append("chunk 3 has begun although two chunks are being verified")
            return None

        def stop(self) -> None: ...

    progress = Progress(CHUNKS, ())
    failed = run_locally(
        CHUNKS, [Worker("a")], lambda worker, chunk, current: Running(chunk), progress, Setting(Silent())
    )
    assert (failed, faults) == ({}, [])
    assert (progress.values()["chunks_done"], progress.values()["frames_done"]) == (3, 30)


def test_what_is_being_verified_counts_as_rendered() -> None:
    progress = Progress(CHUNKS, ())
    progress.started("a", CHUNKS[0])
    progress.rendered("a", CHUNKS[0])
    progress.started("a", CHUNKS[1])
    progress.advanced("a", 4)
    assert progress.values()["frames_done"] == 14
    progress.finished("a", CHUNKS[0])
    assert progress.values()["frames_done"] == 14
    assert progress.text().endswith("a: chunk 2 at 40 %")
    progress.rendered("a", CHUNKS[1])
    progress.failed("a", CHUNKS[1], for_good=False)
    assert progress.values()["frames_done"] == 10
