"""Send the files of a job to the workers of a cluster, and store the chunks that come back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vsvfi.errors import VsvfiError
from vsvfi.files import replace
from vsvfi.jobs.chunks import Chunk
from vsvfi.jobs.folder import JobFolder
from vsvfi.jobs.manifest import Manifest
from vsvfi.jobs.remote import Answer, clean, prepare, write_piece

_PIECE = 4 << 20
"""Bytes sent at a time; Dask is made for small messages."""

_AHEAD = 8
_PATIENCE = 300.0
"""Seconds to wait for a worker to store a piece; it may be lost meanwhile."""


class Transfer:
    """The files of one run of a job.

    Args:
        client: of the cluster.
        job: name of the run.
        manifest: of the job.
    """

    def __init__(self, client: Any, job: str, manifest: Manifest) -> None:
        self._client, self._job, self._manifest = client, job, manifest
        self._provided: set[str] = set()
        work = manifest.work
        images = work.get("images") or ()
        files = {
            "video": None if images else work["video"],
            **{f"image{number}": path for number, path in enumerate(images)},
            "weights": work["arguments"].get("weights"),
            "filter": work.get("filter"),
        }
        self._files = {role: Path(path) for role, path in files.items() if path}
        self._names = {
            role: f"source{path.suffix if role == 'video' else f'_{role}{path.suffix}'}"
            for role, path in self._files.items()
        }

    @property
    def names(self) -> list[str]:
        """Names of the files on a worker."""
        return list(self._names.values())

    def provide(self, address: str) -> None:
        """Send everything to a worker that does not have it yet.

        Raises:
            VsvfiError: the worker cannot store it.
        """
        if address in self._provided:
            return
        try:
            for role, path in self._files.items():
                self._send(address, path, self._names[role])
            self._call(address, prepare, self._job, self._manifest.as_json(), self._names).result(_PATIENCE)
        except OSError as error:
            reason = error.strerror or str(error) or "it does not answer"
            raise VsvfiError(f"worker {address} cannot store the job's files ({reason})") from error
        self._provided.add(address)

    def store(self, answer: Answer, folder: JobFolder, chunk: Chunk) -> None:
        """Store a chunk that came back.

        Raises:
            VsvfiError: it is not complete.
            OSError: the disk is full.
        """
        target = folder.chunk_file(chunk, self._manifest.encoding["chunk_muxer"])
        if answer.state is None or answer.state.bytes != len(answer.video):
            raise VsvfiError(f"{chunk} was received incomplete")
        part = target.with_name(f"{target.name}.partial")
        with open(part, "wb") as file:
            file.write(answer.video)
            file.flush()
            os.fsync(file.fileno())
        replace(part, target)
        folder.set_state(chunk, answer.state)

    def clean(self, addresses: Sequence[str]) -> None:
        """Remove what the workers have stored."""
        for address in self._provided.intersection(addresses):
            with contextlib.suppress(Exception):  # the worker may be lost meanwhile
                self._call(address, clean, self._job).result(timeout=5)

    def _send(self, address: str, path: Path, name: str) -> None:
        sent: list[Any] = []
        with open(path, "rb") as file:
            offset = 0
            while (piece := file.read(_PIECE)) or offset == 0:
                future = self._call(address, write_piece, self._job, name, offset, piece)
                if offset == 0:
                    future.result(_PATIENCE)  # creates the file
                else:
                    sent.append(future)
                if len(sent) >= _AHEAD:
                    sent.pop(0).result(_PATIENCE)
                offset += len(piece)
                if not piece:
                    break
        for future in sent:
            future.result(_PATIENCE)

    def _call(self, address: str, function: Any, *arguments: Any) -> Any:
        return self._client.submit(function, *arguments, workers=[address], pure=False)
