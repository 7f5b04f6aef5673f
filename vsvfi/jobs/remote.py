"""What runs on a worker of a Dask cluster: one chunk, in a process of its own."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsvfi.jobs.folder import JobFolder, State
from vsvfi.jobs.retry import Failure, Try
from vsvfi.jobs.worker import ChunkProcess, Worker, chunk_command

_LOOK = 1.0
_LONGEST_LOG = 1 << 16


@dataclass(frozen=True, slots=True)
class Task:
    """A chunk to render.

    Attributes:
        folder: of the job, on a path that all machines share.
        job: name of this run of the job.
        number: of the chunk.
        current: which try it is.
        upload: the worker has a folder of its own instead.
    """

    folder: str
    job: str
    number: int
    current: Try
    upload: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a task.

    Attributes:
        failure: why it failed, None if the chunk is done.
        log: its messages.
        state: of the chunk, and `video`, its file, where they are not on a shared path.
    """

    failure: Failure | None
    log: str = ""
    state: State | None = None
    video: bytes = b""


def render_remotely(task: Task) -> Answer:
    """Render a chunk on the worker that calls this; it stops when the task is cancelled or its client is gone."""
    from distributed import get_worker

    worker: Any = get_worker()
    key = worker.get_current_task()
    topic = f"vsvfi-{task.job}"

    def report(frames: int, rate: float) -> None:
        worker.log_event(topic, (str(worker.name), frames, rate))

    def cancelled() -> bool:
        known = worker.state.tasks.get(key)
        return known is None or known.state == "cancelled"

    folder = JobFolder(local_folder(worker, task.job) if task.upload else Path(task.folder))
    manifest = folder.manifest()
    if manifest is None:
        return Answer(
            Failure(
                f"the job's folder {str(folder.path)!r} cannot be read on {worker.name}; give a --job folder on a path "
                "that all machines share, or --upload"
            )
        )
    chunk = manifest.chunks[task.number - 1]
    with tempfile.TemporaryDirectory(prefix="vsvfi-log-") as place:
        log = Path(place) / "log"
        process = ChunkProcess(chunk_command(folder.path, chunk, Worker(str(worker.name)), task.current), log)
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_LOOK):
                if cancelled():
                    process.stop()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            failure = process.run(report)
        finally:
            ended.set()
            watcher.join()
        text = log.read_text(encoding="utf-8", errors="replace")[-_LONGEST_LOG:]
    if failure is not None or not task.upload:
        return Answer(failure, text)
    path = folder.chunk_file(chunk, manifest.encoding["chunk_muxer"])
    answer = Answer(None, text, folder.state(chunk), path.read_bytes())
    path.unlink()
    return answer


def local_folder(worker: Any, job: str) -> Path:
    """Return the folder of a job on a worker's own disk."""
    return Path(worker.local_directory) / f"vsvfi-{job}"


def write_piece(job: str, name: str, offset: int, piece: bytes) -> None:
    """Write a piece of an uploaded file on the worker that calls this."""
    from distributed import get_worker

    folder = JobFolder(local_folder(get_worker(), job))
    folder.create()
    with open(folder.path / name, "r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(piece)


def prepare(job: str, raw: dict[str, Any], names: dict[str, str]) -> None:
    """Store the manifest on the worker that calls this, with the uploaded files in place of the original ones."""
    from distributed import get_worker

    from vsvfi.jobs.manifest import Manifest

    folder = JobFolder(local_folder(get_worker(), job))
    folder.create()
    manifest = Manifest.parse(raw)
    work = {**manifest.work, "index": str(folder.path / "index.lwi")}
    if "video" in names:
        work["video"] = str(folder.path / names["video"])
    work["images"] = [str(folder.path / names[f"image{n}"]) for n in range(len(work.get("images") or ()))]
    if "filter" in names:
        work["filter"] = str(folder.path / names["filter"])
    if "weights" in names:
        work["arguments"] = {**work["arguments"], "weights": str(folder.path / names["weights"])}
    folder.store(dataclasses.replace(manifest, work=work))


def clean(job: str) -> None:
    """Remove what was uploaded to the worker that calls this."""
    from distributed import get_worker

    shutil.rmtree(local_folder(get_worker(), job), ignore_errors=True)
