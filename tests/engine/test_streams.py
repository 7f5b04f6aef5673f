"""Streams of workers: no value is used before it is computed, or freed while another stream still reads it."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.building import EXACT, loaded, model_config, run_config
from tests.engine.sessions import HEIGHT, WIDTH, ask, source
from tests.fakes import Recorder
from vsvfi.cli.phase_times import covered
from vsvfi.engine import pipeline, transfers, worker
from vsvfi.engine.placement import RuntimeChoice
from vsvfi.engine.runtimes.interface import Call, Piece, Runtime
from vsvfi.engine.session import Session
from vsvfi.engine.streams import Ordering, StreamPool, streams_of
from vsvfi.models.interpolator import tensors_of

MAIN = "main"


class FakeStreams:
    """Streams as vector clocks: what each stream knows to be finished on every other."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._clocks: dict[object, Counter[object]] = {MAIN: Counter()}
        self._written: dict[int, tuple[object, int, Tensor]] = {}
        self._kept: set[tuple[int, object]] = set()
        self.waits = 0
        self.several = threading.Event()

    def current(self) -> Any:
        return getattr(self._local, "stream", MAIN)

    @contextlib.contextmanager
    def using(self, stream: Any) -> Iterator[None]:
        before, self._local.stream = self.current(), stream
        try:
            yield
        finally:
            self._local.stream = before

    def create(self) -> Any:
        with self._lock:
            name = f"stream {len(self._clocks)}"
            self._clocks[name] = Counter()
            if len(self._clocks) > 2:
                self.several.set()
            return name

    def record(self) -> Any:
        with self._lock:
            return Counter(self._clocks[self.current()])

    def wait(self, event: Any) -> None:
        with self._lock:
            self.waits += 1
            self._clocks[self.current()] |= event

    def keep(self, tensor: Tensor, stream: Any) -> None:
        with self._lock:
            self._kept.add((_storage(tensor), stream))

    def write(self, tensor: Tensor, *, again: bool = True) -> None:
        """The current stream fills a tensor."""
        with self._lock:
            if not again and _storage(tensor) in self._written:
                return
            stream = self.current()
            self._clocks[stream][stream] += 1
            self._written[_storage(tensor)] = stream, self._clocks[stream][stream], tensor

    def read(self, tensor: Tensor) -> None:
        """The current stream reads a tensor, which must be ordered after its writing."""
        with self._lock:
            writer, tick, _ = self._written[_storage(tensor)]
            reader = self.current()
            assert self._clocks[reader][writer] >= tick, f"{reader} reads what {writer} has not finished"
            assert reader == writer or (_storage(tensor), reader) in self._kept, "its memory may be reused too early"


def _wait_for_several(streams: FakeStreams) -> None:
    assert streams.several.wait(30)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Watched(Runtime):
    """Runs eagerly, and notes what each piece reads and writes."""

    summary = "for tests"

    def __init__(self, streams: FakeStreams) -> None:
        self.streams = streams

    def specialise(self, piece: Piece, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        def call(*args: Any, **kwargs: Any) -> Any:
            given = list(tensors_of((args, kwargs)))
            for tensor in given:
                if piece.name == "encode_frame" or tensor.dim() == 1:
                    self.streams.write(tensor, again=False)  # images and times
                self.streams.read(tensor)
            result = piece.eager(*args, **kwargs)
            for tensor in tensors_of(result):
                if _storage(tensor) not in {_storage(one) for one in given}:
                    self.streams.write(tensor)
            return result

        return call


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> FakeStreams:
    made = FakeStreams()
    monkeypatch.setattr(pipeline, "streams_of", lambda device: made)
    monkeypatch.setattr(worker, "streams_of", lambda device: made)
    monkeypatch.setattr("vsvfi.engine.runtimes.binding.find", lambda name: Watched(made))
    return made


@pytest.mark.parametrize("name", ["fake", "fake_half"])
def test_no_worker_uses_what_another_has_not_finished(
    streams: FakeStreams, fake_family: Recorder, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = loaded(name, fake_family.weights)
    fake_family.hook = partial(_wait_for_several, streams)  # else one thread may do everything
    config = run_config(model_config(model), (WIDTH, HEIGHT), multi=4, workers=3)
    placement = dataclasses.replace(EXACT, runtime=RuntimeChoice("watched"))
    session = Session(dataclasses.replace(config, placements=(placement,)), model)
    goals = [(first, Fraction(step, 4)) for first in range(5) for step in (2, 1, 3)]
    try:
        with ThreadPoolExecutor(3) as pool:
            made = list(pool.map(lambda goal: ask(session, *goal), goals))
    finally:
        session.close()
    for (first, t), image in zip(goals, made, strict=True):
        blend = (1 - float(t)) * source(first) + float(t) * source(first + 1)
        assert torch.allclose(image, blend, atol=1e-6)
    assert not caplog.records, "an assertion of the streams failed"
    assert streams.waits


def test_the_check_finds_a_missing_wait(streams: FakeStreams) -> None:
    ordering, other = Ordering(streams), streams.create()
    tensor = torch.zeros(1)
    streams.write(tensor)
    ordered = ordering.computed((tensor, None))
    with streams.using(other):
        with pytest.raises(AssertionError, match="not finished"):
            streams.read(tensor)
        streams.wait(ordered.ready)
        with pytest.raises(AssertionError, match="reused too early"):
            streams.read(tensor)
        assert ordering.used(ordered)[0] is tensor
        streams.read(tensor)
    waits = streams.waits
    assert ordering.used(ordered)[0] is tensor
    assert streams.waits == waits, "a stream need not wait for itself"


def test_streams_are_lent_to_one_thread_at_a_time(streams: FakeStreams) -> None:
    pool = StreamPool(streams)
    with pool.lent():
        first = streams.current()
        with pool.lent():
            assert streams.current() not in (first, MAIN)
    with pool.lent():
        again = streams.current()
    assert again in (first, "stream 2")
    assert streams.current() == MAIN


def test_a_cpu_has_no_streams() -> None:
    assert streams_of(torch.device("cpu")) is None
    with StreamPool(None).lent():
        assert Ordering(None).used(Ordering(None).computed(3)) == 3


def test_time_that_overlapping_spans_cover() -> None:
    counted: Callable[..., float] = covered
    assert counted([]) == 0
    assert counted([(3, 5), (0, 2), (1, 2.5), (4, 4.5)]) == 4.5
    assert counted([(2, 1), (5, 6)]) == 1


def test_the_host_sleeps_while_it_waits_for_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that spin keep a core of the encoder's busy for each worker."""
    made: list[dict[str, bool]] = []

    class Event:
        def __init__(self, **given: bool) -> None:
            made.append(given)

        def record(self) -> None:
            pass

    monkeypatch.setattr(torch.cuda, "Event", Event)
    transfers._record()
    assert made == [{"blocking": True}]
