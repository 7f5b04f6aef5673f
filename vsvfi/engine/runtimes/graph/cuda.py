"""Record work as CUDA graphs."""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Hashable

import torch

_WARM_UPS = 2
"""Runs before the recording: the first loads kernels and chooses algorithms, the second shows that it is done."""

_recording = threading.Lock()
"""Held while recording: a recording begins with waiting for the device, which is illegal during another one."""


class _Pool:
    """Memory of the graphs of one stream, and the stream on which they are recorded; lives as long as its graphs.

    The allocator reuses memory for the same stream only, and does not take a pool again whose graphs are all gone.
    """

    def __init__(self, device: torch.device) -> None:
        self.handle = torch.cuda.graph_pool_handle()
        self.side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class CudaGraphs:
    """Record on a side stream, and replay on the current one.

    All graphs of a stream share one memory pool, since they never run at the same time.
    """

    def __init__(self) -> None:
        self._locks: defaultdict[Hashable, threading.RLock] = defaultdict(threading.RLock)
        self._pools: weakref.WeakValueDictionary[Hashable, _Pool] = weakref.WeakValueDictionary()

    def context(self) -> Hashable:
        stream = torch.cuda.current_stream()
        return stream.device.index, stream.cuda_stream

    def lock(self) -> threading.RLock:
        return self._locks[self.context()]

    def record(self, work: Callable[[], object]) -> tuple[object, Callable[[], None]]:
        stream = torch.cuda.current_stream()
        with _recording:
            pool = self._pools.get(self.context()) or _Pool(stream.device)
            self._pools[self.context()] = pool
            pool.side.wait_stream(stream)
            with torch.cuda.stream(pool.side):
                for _ in range(_WARM_UPS):
                    work()
            stream.wait_stream(pool.side)
            graph = torch.cuda.CUDAGraph()
            failure: BaseException | None = None
            try:
                # Other threads may allocate and load kernels meanwhile: only this thread's calls are restricted.
                with torch.cuda.graph(graph, pool=pool.handle, stream=pool.side, capture_error_mode="thread_local"):
                    try:
                        result = work()
                    except BaseException as error:
                        failure = error
                        raise
            except Exception as error:
                if failure is not None and error is not failure:
                    raise failure from None  # ending a recording that failed raises a less helpful error
                raise

            def replay(_pool: _Pool = pool) -> None:  # holds the pool
                graph.replay()

            return result, replay
