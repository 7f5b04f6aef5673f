"""Decide whether a chunk that failed is tried again, and how."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from vsvfi.jobs.chunks import Chunk

MOST_TRIES = 3
_USUAL_STREAMS = 2


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a chunk.

    Attributes:
        number: from 1.
        streams: concurrent frames per device, None for the job's own.
    """

    number: int = 1
    streams: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try failed.

    Attributes:
        reason: for the user.
        memory: memory ran out.
        lost: its worker was lost, which is not the chunk's fault.
    """

    reason: str
    memory: bool = False
    lost: bool = False


class Places:
    """Where chunks have failed, so that a worker whose disk is full or whose GPU is broken does not get them again."""

    def __init__(self) -> None:
        self._failed: dict[Chunk, set[str]] = {}

    def failed(self, chunk: Chunk, worker: str, failure: Failure) -> None:
        """Note a failure; after a lack of memory fewer streams are the remedy, not another worker."""
        if not failure.memory:
            self._failed.setdefault(chunk, set()).add(worker)

    def suits(self, chunk: Chunk, worker: str, workers: Collection[str]) -> bool:
        """Return whether a chunk may go to one of these workers: it has not failed there, or has on every one."""
        places = self._failed.get(chunk, set())
        return worker not in places or places.issuperset(workers)


def next_try(current: Try, failure: Failure, streams: int | None) -> Try | None:
    """Return the next try, None if the chunk has failed for good.

    Args:
        current: the one that failed.
        failure: why.
        streams: the job's own setting.
    """
    if current.number >= MOST_TRIES:
        return None
    following = replace(current, number=current.number + 1)
    if not failure.memory:
        return following
    used = current.streams or streams or _USUAL_STREAMS
    return replace(following, streams=max(1, used // 2))
