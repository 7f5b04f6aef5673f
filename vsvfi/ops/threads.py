"""Run parts of one operator's work on several threads.

Each call starts and joins its own threads, so calls may run concurrently. Only for code that releases the GIL.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


def in_parts(work: Callable[[int], None], threads: int, name: str) -> None:
    """Run `work(0)` on the calling thread and `work(1)`, ..., `work(threads - 1)` on a thread each.

    If a thread cannot be started, its part runs on the calling thread. The first exception of a part is raised here
    after all parts have finished.

    Args:
        work: takes the number of the part.
        threads: at least 1.
        name: of the operator, for the threads' names.
    """
    errors: list[BaseException] = []

    def attempt(part: int) -> None:
        try:
            work(part)
        except BaseException as error:
            errors.append(error)

    others, own = [], [0]
    for part in range(1, threads):
        try:
            other = threading.Thread(target=attempt, args=(part,), name=f"vsvfi-{name}_{part}", daemon=True)
            other.start()
            others.append(other)
        except (RuntimeError, MemoryError, OSError):
            own.append(part)
    for part in own:
        attempt(part)
    for other in others:
        other.join()
    if errors:
        error = errors[0]
        errors.clear()
        try:
            raise error
        finally:
            del error  # else this frame and the error would keep each other alive
