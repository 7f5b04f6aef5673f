"""Decide whether a chunk that failed is tried again, and how."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
