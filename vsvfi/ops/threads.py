"""Run parts of one operator's work on several threads.

The threads are the call's own: any number of threads may call at once, and none is left behind. Only for code that runs
without the GIL.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


def in_parts(work: Callable[[int], None], threads: int, name: str) -> None:
    """`work(0)`, ..., `work(threads - 1)`: the first on the calling thread, each other on a thread of its own.

    Parts for which the system starts no thread run on the calling one. The first error that a part raises is raised
    here, when every part has ended.

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
