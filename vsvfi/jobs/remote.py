"""What runs on a worker of a Dask cluster: one chunk, in a process of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import json
import platform
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsvfi.jobs.folder import JobFolder, State
from vsvfi.jobs.retry import Failure, Try
from vsvfi.jobs.worker import ChunkProcess, Worker, chunk_command, versions_command

_LOOK = 1.0
_PATIENCE = 600.0
"""Seconds for a process to state its versions."""

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


def python_version() -> str:
    """Return the version of Python as far as Dask's messages depend on it."""
    return ".".join(platform.python_version_tuple()[:2])


def own_versions() -> dict[str, str]:
    """Return the versions that must agree for Dask's messages: of Python and of vsvfi in this process."""
    return {"Python": python_version(), "vsvfi": importlib.metadata.version("vsvfi")}


async def state_versions(encoder: str, muxer: str) -> dict[str, Any]:
    """Return {"versions": ...} of the worker that calls this, or {"error": why it cannot render a job}.

    They are those of a process like that of a chunk.
    """
    return await asyncio.to_thread(_stated, versions_command(encoder, muxer))


def _stated(command: Sequence[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_PATIENCE)
        stated: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return {"error": f"it cannot state its versions ({type(error).__name__}: {error})"}
    if "versions" in stated:
        stated["versions"]["Python"] = python_version()
    return stated


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
