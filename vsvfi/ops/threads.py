"""Runs parts of one operator's work on several threads. Knows no operator.

The threads are the call's own: any number of threads may call at once, and none is left behind. Only for code that runs without the GIL.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def in_parts(work: Callable[[int], None], threads: int, name: str) -> None:
    """`work(0)`, ..., `work(threads - 1)`: the first on the calling thread, each other on a thread of its own. What one raises is raised here.

    Args:
        work: takes the number of the part.
        threads: at least 1.
        name: of the operator, for the threads' names.
    """
    if threads == 1:
        work(0)
        return
    with ThreadPoolExecutor(threads - 1, thread_name_prefix=f"vsvfi-{name}") as pool:
        others = [pool.submit(work, part) for part in range(1, threads)]
        work(0)
        for other in others:
            other.result()
