"""Render the chunks of a job on a Dask cluster: one chunk at a time per worker.

Every chunk is assigned to one worker here; where that worker is lost, the chunk goes to another one. Workers need the
installed package and either the same paths as this machine or the source uploaded to them.
"""

from __future__ import annotations

import contextlib
import queue
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vsvfi.errors import VsvfiError
from vsvfi.jobs.admission import Admission, check_scheduler
from vsvfi.jobs.chunks import Chunk
from vsvfi.jobs.folder import JobFolder
from vsvfi.jobs.local import Setting
from vsvfi.jobs.manifest import Manifest
from vsvfi.jobs.progress import Progress
from vsvfi.jobs.remote import Answer, Task, render_remotely
from vsvfi.jobs.retry import Failure, Places, Try, next_try
from vsvfi.jobs.transfer import Transfer
from vsvfi.packages import load

_TICK = 0.2
_LOOK = 1.0
"""Seconds between looks at the cluster's workers."""


@dataclass(slots=True)
class _Assigned:
    chunk: Chunk
    current: Try
    address: str
    name: str
    future: Any


def run_on_cluster(
    address: str,
    folder: JobFolder,
    manifest: Manifest,
    chunks: Sequence[Chunk],
    progress: Progress,
    setting: Setting,
    *,
    upload: bool = False,
) -> dict[Chunk, Failure]:
    """Render chunks on the workers of a cluster.

    Args:
        address: of the scheduler.
        folder, manifest: of the job.
        chunks: what is to be done.
        progress: is kept up to date.
        setting: as for `run_locally`.
        upload: send the files of the job to the workers, and the chunks back; else they have the same paths.

    Returns:
        The chunks that failed for good, with the last reason.

    Raises:
        VsvfiError: distributed is not installed, the scheduler cannot be reached, or versions differ.
    """
    distributed = load("distributed")
    if isinstance(distributed, str):
        raise VsvfiError(f"--scheduler needs dask.distributed ({distributed}); pip install 'vsvfi[cluster]'")
    try:
        client = distributed.Client(address, timeout=20, set_as_default=False)
    except (OSError, ValueError) as error:
        raise VsvfiError(
            f"the Dask scheduler at {address!r} cannot be reached ({str(error) or type(error).__name__}); check the "
            "address and that 'dask scheduler' runs there"
        ) from error
    try:
        check_scheduler(client)
        setting.observer.note(f"Dask cluster at {address}, dashboard: {client.dashboard_link}")
        return _Cluster(client, folder, manifest, progress, setting, upload=upload).run(chunks)
    finally:
        client.close()


class _Cluster:
    def __init__(
        self,
        client: Any,
        folder: JobFolder,
        manifest: Manifest,
        progress: Progress,
        setting: Setting,
        *,
        upload: bool,
    ) -> None:
        self._client, self._folder, self._manifest = client, folder, manifest
        self._progress, self._setting = progress, setting
        self._job = uuid.uuid4().hex[:12]
        self._transfer = Transfer(client, self._job, manifest) if upload else None
        self._waiting: deque[tuple[Chunk, Try]] = deque()
        self._places = Places()
        self._assigned: list[_Assigned] = []
        self._failed: dict[Chunk, Failure] = {}
        self._reports: queue.SimpleQueue[tuple[str, int, float]] = queue.SimpleQueue()
        self._looked = 0.0
        self._workers: dict[str, str] = {}
        self._unfit: set[str] = set()
        self._admission = Admission(client, manifest, setting.observer.note)
        self._resources: dict[str, int] | None = None
        self._lonely = False

    def run(self, chunks: Sequence[Chunk]) -> dict[Chunk, Failure]:
        self._waiting.extend((chunk, Try()) for chunk in chunks)
        topic = f"vsvfi-{self._job}"
        self._client.subscribe_topic(topic, lambda event: self._reports.put(event[1]))
        try:
            while self._waiting or self._assigned:
                self._look()
                self._assign()
                self._collect()
                self._setting.observer.tick(self._progress)
                time.sleep(_TICK)
        finally:
            self._client.cancel([one.future for one in self._assigned], force=True)
            self._client.unsubscribe_topic(topic)
            if self._transfer is not None:
                self._transfer.clean(list(self._workers))
        return self._failed

    def _look(self) -> None:
        """Update the list of workers: those that name a GPU, or all where none does, with the versions of the plan."""
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        found = self._client.scheduler_info(n_workers=-1)["workers"]
        gpus = {address for address, worker in found.items() if worker.get("resources", {}).get("GPU", 0) >= 1}
        self._resources = {"GPU": 1} if gpus else None
        suitable = {address: str(found[address]["name"]) for address in gpus or found if address not in self._unfit}
        self._workers = self._admission.admitted(suitable)
        if self._admission.waiting and not self._workers:
            return
        if not self._workers and not self._lonely:
            self._setting.observer.note("the cluster has no workers; waiting for one")
        self._lonely = not self._workers

    def _assign(self) -> None:
        busy = {one.address for one in self._assigned}
        for address, name in list(self._workers.items()):
            suits = (task for task in self._waiting if self._places.suits(task[0], address, self._workers))
            if address in busy or (found := next(suits, None)) is None:
                continue
            if not self._receives(address):
                continue
            self._waiting.remove(found)
            chunk, current = found
            task = Task(str(self._folder.path), self._job, chunk.number, current, upload=self._transfer is not None)
            future = self._client.submit(
                render_remotely,
                task,
                key=f"vsvfi-{self._job}-{chunk.name}-{current.number}",
                workers=[address],
                resources=self._resources,
                pure=False,
            )
            self._assigned.append(_Assigned(chunk, current, address, name, future))
            self._progress.started(name, chunk)

    def _receives(self, address: str) -> bool:
        """Send the files to a worker that needs them; one that cannot store them is not used.

        Raises:
            VsvfiError: no other worker is left.
        """
        if self._transfer is None:
            return True
        try:
            self._transfer.provide(address)
        except VsvfiError as error:
            self._unfit.add(address)
            del self._workers[address]
            if not (self._workers or self._assigned or self._admission.waiting):
                raise
            self._setting.observer.note(f"{error}; the other workers do its work")
            return False
        return True

    def _collect(self) -> None:
        """Take reports and results, and queue the chunks of lost workers again."""
        with contextlib.suppress(queue.Empty):
            while True:
                name, frames, rate = self._reports.get_nowait()
                self._progress.advanced(name, frames, rate)
        for one in list(self._assigned):
            status = one.future.status
            if status == "pending" and one.address in self._workers:
                continue
            self._assigned.remove(one)
            if status == "finished":
                failure = self._finish(one)
            elif status == "error":
                failure = Failure(f"{type(one.future.exception()).__name__}: {one.future.exception()}")
            else:
                self._client.cancel([one.future], force=True)
                failure = Failure("its worker was lost", lost=True)
            self._settle(one, failure)

    def _finish(self, one: _Assigned) -> Failure | None:
        try:
            answer: Answer = one.future.result()
            if answer.log:
                with open(self._folder.log(one.name), "a", encoding="utf-8") as log:
                    log.write(answer.log)
            if answer.failure is None and self._transfer is not None:
                self._transfer.store(answer, self._folder, one.chunk)
        except (OSError, VsvfiError) as error:
            return Failure(str(error))
        return answer.failure

    def _settle(self, one: _Assigned, failure: Failure | None) -> None:
        if failure is None:
            self._progress.finished(one.name, one.chunk)
            self._setting.observer.finished(one.name, one.chunk)
            return
        self._places.failed(one.chunk, one.address, failure)
        following = next_try(one.current, failure, self._setting.streams)
        if following is None:
            self._failed[one.chunk] = failure
        else:
            self._waiting.append((one.chunk, following))
        self._progress.failed(one.name, one.chunk, for_good=following is None)
        if failure.lost:
            self._progress.gone(one.name)
        self._setting.observer.failed(one.name, one.chunk, failure, following)
