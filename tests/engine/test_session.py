"""Each source frame encoded once and each pair prepared once, bounded memory, results that depend on the
request alone."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from tests.fakes import Recorder
from vsvfi.engine import heap
from vsvfi.engine.build import read_model
from vsvfi.engine.session import Session
from vsvfi.errors import ClipError, DeviceMemoryError, VsvfiError
from vsvfi.models.family import Family, Variant
from vsvfi.models.interpolator import Interpolator
from vsvfi.models.registry import find
from vsvfi.plan.timeline import Blend

WIDTH, HEIGHT = 30, 18


def load(index: int, into: Tensor) -> None:
    """Source frame k is a picture that depends on k alone."""
    into.copy_(torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(index)))


def source(index: int) -> Tensor:
    image = torch.empty(1, 3, HEIGHT, WIDTH)
    load(index, image)
    return image[0]


def ask(session: Session, first: int, t: Fraction, second: int | None = None) -> Tensor:
    taken: list[Tensor] = []
    session.blend(
        0, Blend(first, first + 1 if second is None else second, t), load, lambda image: taken.append(image.clone())
    )
    return taken[0]


@pytest.fixture
def opened(fake_family: Recorder) -> Iterator[Callable[..., Session]]:
    """Opens sessions of the fake model on the CPU, and closes them in the end."""
    sessions: list[Session] = []

    def open_session(model: str = "fake", devices: int = 1, **arguments: object) -> Session:
        arguments = {"size": (WIDTH, HEIGHT), "scale": None, "options": {}, **arguments}
        cpu = torch.device("cpu")
        session = Session(
            read_model(model, fake_family.weights),
            devices=[cpu] * devices,
            dtypes=[torch.float32] * devices,
            **arguments,
        )
        sessions.append(session)
        return session

    yield open_session
    for session in sessions:
        session.close()


@pytest.mark.parametrize("multi", [2, 3, 8])
def test_sequential_playback_computes_everything_once(
    opened: Callable[..., Session], fake_family: Recorder, multi: int
) -> None:
    session = opened()
    for first in range(10):
        for step in range(1, multi):
            ask(session, first, Fraction(step, multi))
    counts = fake_family.counts()
    assert counts == {"encode": 11, "prepare": 10, "synthesise": 10 * (multi - 1)}
    statistics = session.statistics()
    assert (statistics["frames_encoded"], statistics["pairs_prepared"], statistics["syntheses"]) == (
        11,
        10,
        10 * (multi - 1),
    )


def test_halving_by_option_is_what_a_halving_model_does(opened: Callable[..., Session], fake_family: Recorder) -> None:
    results = []
    for session in (opened("fake_half"), opened(options={"times": "halving"})):
        fake_family.calls.clear()
        results.append(([ask(session, 0, Fraction(n, 4)) for n in (1, 2, 3)], fake_family.counts()))
    (by_weights, counts), (by_option, same_counts) = results
    assert counts == same_counts == {"encode": 3, "prepare": 3, "synthesise": 3}
    assert all(torch.equal(one, other) for one, other in zip(by_weights, by_option, strict=True))


def test_sequential_playback_with_a_halving_model(opened: Callable[..., Session], fake_family: Recorder) -> None:
    session = opened("fake_half")
    for first in range(5):
        for step in (1, 2, 3):
            result = ask(session, first, Fraction(step, 4))
            expected = source(first) * (1 - step / 4) + source(first + 1) * step / 4
            assert torch.allclose(result, expected, atol=1e-6)
    counts = fake_family.counts()
    assert counts["synthesise"] == 15  # three pictures a pair, the middle one made once
    assert {detail for phase, detail in fake_family.calls if phase == "synthesise"} == {0.5}
    assert counts["encode"] == 6 + 5


def test_random_and_repeated_requests_give_the_same_frames(opened: Callable[..., Session]) -> None:
    requests = [(first, Fraction(step, 5)) for first in range(12) for step in range(1, 5)]
    session, small = opened(), opened(cache=60_000)
    expected = {request: ask(session, *request) for request in requests}
    shuffled = requests * 2
    random.Random(3).shuffle(shuffled)
    for request in [*reversed(requests), *shuffled]:
        assert torch.equal(ask(small, *request), expected[request])
    assert 0 < small.statistics()["peak_bytes"] <= 60_000


def test_no_cache_at_all_still_works(opened: Callable[..., Session], fake_family: Recorder) -> None:
    session = opened(cache=0)
    result = ask(session, 0, Fraction(1, 4))
    assert torch.allclose(result, 0.75 * source(0) + 0.25 * source(1), atol=1e-6)
    assert session.statistics()["peak_bytes"] == 0
    assert fake_family.counts() == {"encode": 2, "prepare": 1, "synthesise": 1}


def test_many_threads_and_devices_at_once(opened: Callable[..., Session], fake_family: Recorder) -> None:
    session = opened(devices=3, workers=3)
    requests = [(first, Fraction(step, 4)) for first in range(16) for step in range(1, 4)] * 4
    random.Random(7).shuffle(requests)
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda request: ask(session, *request), requests))
    for (first, t), result in zip(requests, results, strict=True):
        assert torch.allclose(result, (1 - float(t)) * source(first) + float(t) * source(first + 1), atol=1e-6)


def test_the_same_pair_asked_by_many_threads_is_prepared_once(
    opened: Callable[..., Session], fake_family: Recorder
) -> None:
    session = opened(workers=8)
    barrier = threading.Barrier(8)

    def together(step: int) -> None:
        barrier.wait(10)
        ask(session, 0, Fraction(step, 9))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(together, range(1, 9)))
    assert fake_family.counts() == {"encode": 2, "prepare": 1, "synthesise": 8}


def test_what_lies_outside_the_range_is_kept(opened: Callable[..., Session], fake_family: Recorder) -> None:
    session = opened()

    def bright(index: int, into: Tensor) -> None:
        into.fill_(1.25 if index == 0 else -0.25)

    taken: list[Tensor] = []
    session.blend(0, Blend(0, 1, Fraction(1, 4)), bright, lambda image: taken.append(image.clone()))
    assert sorted(detail for phase, detail in fake_family.calls if phase == "encode") == [
        0,
        1,
    ]  # the network sees its own range
    assert torch.allclose(taken[0], torch.full((3, HEIGHT, WIDTH), 0.75 * 1.25 - 0.25 * 0.25), atol=1e-6)


@pytest.mark.parametrize("model", ["fake", "fake_half"])
def test_between_identical_pictures_lies_the_same(
    opened: Callable[..., Session], fake_family: Recorder, model: str
) -> None:
    """Bit for bit, whatever the network would make of it: no flicker in still scenes, also where duplicates are not
    skipped.
    """
    session = opened(model)
    taken: list[Tensor] = []
    for t in (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)):
        session.blend(0, Blend(0, 1, t), lambda index, into: load(7, into), lambda image: taken.append(image.clone()))
    assert all(torch.equal(image, source(7)) for image in taken)
    assert fake_family.counts()["synthesise"] == fake_family.counts()["prepare"] == 0


def test_broken_samples_do_not_spread(opened: Callable[..., Session]) -> None:
    session = opened()

    def broken(index: int, into: Tensor) -> None:
        into.fill_(0.5)
        into[0, 0, 0, 0] = float("nan")
        into[0, 1, 0, 0] = float("inf")

    taken: list[Tensor] = []
    session.blend(0, Blend(0, 1, Fraction(1, 2)), broken, lambda image: taken.append(image.clone()))
    assert torch.isfinite(taken[0][:, 1:, 1:]).all()
    assert torch.equal(taken[0][:, 1:, 1:], torch.full((3, HEIGHT - 1, WIDTH - 1), 0.5))


def test_pairs_across_a_hold(opened: Callable[..., Session]) -> None:
    session = opened("fake_half")
    result = ask(session, 4, Fraction(1, 2), second=6)
    assert torch.allclose(result, (source(4) + source(6)) / 2, atol=1e-6)
    assert torch.allclose(ask(session, 4, Fraction(1, 4), second=6), 0.75 * source(4) + 0.25 * source(6), atol=1e-6)
    assert torch.allclose(
        ask(session, 5, Fraction(1, 2)), (source(5) + source(6)) / 2, atol=1e-6
    )  # source frame 5, not the midpoint of 4 and 6


def test_memory_that_runs_out_once_is_retried_and_twice_is_reported(
    opened: Callable[..., Session], fake_family: Recorder
) -> None:
    session = opened()
    failures = [1]

    def fail() -> None:
        if failures:
            failures.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")

    fake_family.hook = fail
    assert torch.allclose(ask(session, 0, Fraction(1, 2)), (source(0) + source(1)) / 2, atol=1e-6)
    failures.extend([1, 1])
    with pytest.raises(
        DeviceMemoryError,
        match=r"frame 7: cpu ran out of memory \(held: frames .* MiB, pairs .* MiB\); use a smaller scale=",
    ):
        session.blend(7, Blend(0, 1, Fraction(1, 2)), load, lambda image: None)
    assert torch.allclose(ask(session, 0, Fraction(1, 2)), (source(0) + source(1)) / 2, atol=1e-6)


@pytest.mark.parametrize("phase", ["encode_frame", "prepare_pair", "synthesise", "load", "deliver"])
@pytest.mark.parametrize(
    "fault",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError("host"), RuntimeError("MPS backend out of memory")],
    ids=str,
)
def test_nothing_of_a_failed_attempt_is_alive(
    opened: Callable[..., Session], fake_family: Recorder, monkeypatch: pytest.MonkeyPatch, phase: str, fault: Exception
) -> None:
    """Neither when the second attempt starts nor after its error was handled, without a collection of garbage."""
    session = opened()
    made: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def fail_twice() -> None:
        alive.extend(reference() is not None for reference in made)
        large = torch.zeros(1000)
        made.append(weakref.ref(large))
        if len(made) <= 2:
            raise type(fault)(*fault.args)

    def checked_load(index: int, into: Tensor) -> None:
        load(index, into)
        if phase == "load":
            fail_twice()

    if phase not in ("load", "deliver"):
        network = importlib.import_module("vsvfi.models.fake.network").Blend
        original = getattr(network, phase)

        def failing(self: object, *given: object) -> object:
            fail_twice()
            return original(self, *given)

        monkeypatch.setattr(network, phase, failing)
    gc.disable()
    try:
        caught = False
        try:
            session.blend(
                7, Blend(0, 1, Fraction(1, 2)), checked_load, lambda image: fail_twice() if phase == "deliver" else None
            )
        except DeviceMemoryError:  # not pytest.raises, which would keep it
            caught = True
        assert caught
        assert alive == [False]
        assert [reference() for reference in made] == [None, None]
    finally:
        gc.enable()
    session.blend(7, Blend(0, 1, Fraction(1, 2)), checked_load, lambda image: None)


def test_a_dropped_session_closes(fake_family: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads end, its caches are emptied and malloc is as before, without a collection of garbage and while its
    script lives.
    """
    monkeypatch.setenv(heap.VARIABLE, "keep")
    before, users = threading.active_count(), heap._users
    cpu = torch.device("cpu")
    session = Session(
        read_model("fake", fake_family.weights),
        devices=[cpu],
        dtypes=[torch.float32],
        size=(WIDTH, HEIGHT),
        scale=None,
        options={},
    )
    ask(session, 0, Fraction(1, 2))
    frames = session._lanes[0].frames
    assert (threading.active_count(), heap._users) == (before + 1, users + 1)
    assert frames.statistics().bytes > 0
    gc.disable()
    try:
        del session
        assert (threading.active_count(), heap._users) == (before, users)
        assert frames.statistics().bytes == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("step", ["release", "_drop", "heap", "workers"])
def test_a_fault_in_closing_one_device_stops_nothing_else(
    opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    from vsvfi.engine import lane as engine_lane

    before, users = threading.active_count(), heap._users
    session = opened(devices=2)
    for first in range(4):
        ask(session, first, Fraction(1, 2))
    lanes = list(session._lanes)
    faults = [1]

    def once(original: Callable[..., None]) -> Callable[..., None]:
        def failing(*given: object) -> None:
            original(*given)
            if faults:
                faults.pop()
                raise RuntimeError("CUDA error: unspecified launch failure")

        return failing

    owner, name = {
        "release": (engine_lane, "release"),
        "_drop": (lanes[0], "_drop"),
        "heap": (heap, "give_back"),
        "workers": (lanes[0]._workers, "close"),
    }[step]
    monkeypatch.setattr(owner, name, once(getattr(owner, name)))
    session.close()
    assert not faults
    assert "cpu could not be closed properly (RuntimeError: CUDA error" in caplog.text
    assert (threading.active_count(), heap._users) == (before, users)
    assert session.statistics()["bytes"] == 0
    session.close()


def test_a_device_that_fails_at_the_start_takes_the_others_along(
    opened: Callable[..., Session], fake_family: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vsvfi.engine.build import Blueprint

    users, built, original = heap._users, [0], Blueprint.network

    def failing(*given: object) -> object:
        built[0] += 1
        if built[0] == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Blueprint, "network", failing)
    with pytest.raises(torch.OutOfMemoryError):
        opened(devices=2)
    assert heap._users == users
    ask(opened(), 0, Fraction(1, 2))


def test_a_lack_of_memory_names_what_the_model_takes(fake_family: Recorder) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    fake, halves = read_model("fake", fake_family.weights), read_model("builtin")
    finest, coarsest = (fake.setup(64, 64, scale, {}) for scale in (Fraction(1), Fraction(1, 2)))
    rest = "a smaller cache=, a smaller picture or another model"
    assert fake.knobs(finest, cpu, torch.float32, 2) == f"a smaller scale=, streams=1, {rest}"
    assert fake.knobs(coarsest, cpu, torch.float32, 1) == rest
    setup = halves.setup(64, 64, Fraction(1), {})
    assert halves.knobs(setup, cuda, torch.float32, 1) == f"a smaller scale=, precision='fp16', {rest}"
    assert halves.knobs(setup, cuda, torch.float16, 1) == f"a smaller scale=, {rest}"
    for name, knobs in (
        ("ldmvfi", rest),
        ("gimmvfi_r", f"a smaller scale=, a smaller options={{'memory': ...}}, {rest}"),
    ):
        family, variant = find(name)
        assert dataclasses.replace(halves, family=family, variant=variant).knobs(setup, cpu, torch.float32, 1) == knobs


def test_other_errors_pass_through(opened: Callable[..., Session], fake_family: Recorder) -> None:
    def fail() -> None:
        raise RuntimeError("something else")

    session = opened()
    fake_family.hook = fail
    with pytest.raises(RuntimeError, match="something else"):
        ask(session, 0, Fraction(1, 2))


def test_a_closed_session_says_so(opened: Callable[..., Session]) -> None:
    session = opened()
    ask(session, 0, Fraction(1, 2))
    before = threading.active_count()
    session.close()
    session.close()
    assert threading.active_count() < before
    assert session.statistics()["bytes"] == 0
    with pytest.raises(VsvfiError, match="closed"):
        ask(session, 0, Fraction(1, 2))


def test_a_request_that_races_with_the_end_is_told_the_same(
    opened: Callable[..., Session], fake_family: Recorder
) -> None:
    session = opened()
    started, release = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        release.wait(10)

    fake_family.hook = hold
    with ThreadPoolExecutor(3) as threads:
        running = threads.submit(ask, session, 0, Fraction(1, 2))
        assert started.wait(10)
        waiting = threads.submit(ask, session, 4, Fraction(1, 2))
        while not session._lanes[0]._workers.waiting:
            pass
        closing = threads.submit(session.close)
        with pytest.raises(VsvfiError, match="closed"):
            waiting.result(10)
        release.set()
        running.result(10)
        closing.result(10)
    session._open = True
    with pytest.raises(VsvfiError, match="closed"):
        ask(session, 0, Fraction(1, 2))
    session._open = False


@pytest.fixture
def batching(monkeypatch: pytest.MonkeyPatch, fake_family: Recorder) -> list[int]:
    """The fake family gains by batches; returns how many pictures each held."""
    from vsvfi.engine import build

    find, sizes = build.find, []

    def found(name: str) -> tuple[Family, Variant]:
        family, variant = find(name)
        return dataclasses.replace(family, batches=True), variant

    def together(self: object, pairs: list[object], t: Tensor, inputs: list[dict[str, Tensor]]) -> list[Tensor]:
        sizes.append(len(pairs))
        return [self.synthesise(pair, t, **given) for pair, given in zip(pairs, inputs, strict=True)]  # type: ignore[attr-defined]

    monkeypatch.setattr(build, "find", found)
    monkeypatch.setattr(Interpolator, "synthesise_together", together)
    return sizes


def test_a_level_of_midpoints_is_made_at_once(
    opened: Callable[..., Session], fake_family: Recorder, batching: list[int]
) -> None:
    times = [Fraction(step, 8) for step in range(1, 8)]
    for order in (times, times[::-1], random.Random(1).sample(times, 7)):
        batching.clear()
        fake_family.calls.clear()
        session = opened("fake_half", together=3)
        for t in order:
            assert torch.allclose(ask(session, 0, t), (1 - float(t)) * source(0) + float(t) * source(1), atol=1e-6)
        assert sorted(batching) == [1, 2, 4]
        assert fake_family.counts() == {"encode": 5, "prepare": 7, "synthesise": 7}


def test_a_level_is_not_made_at_once_where_it_cannot_be_held(
    opened: Callable[..., Session], batching: list[int]
) -> None:
    """All of it would be made again for each of its pictures."""
    session = opened("fake_half", together=3, cache=10_000)
    ask(session, 0, Fraction(1, 8))
    assert set(batching) == {1}


def test_a_level_is_not_made_at_once_without_the_familys_word(
    opened: Callable[..., Session], fake_family: Recorder
) -> None:
    session = opened("fake_half", together=2)
    ask(session, 0, Fraction(1, 4))
    assert fake_family.counts()["synthesise"] == 2


def test_held_levels_count_and_stay_in_the_budget(opened: Callable[..., Session], batching: list[int]) -> None:
    session = opened("fake_half", together=2, cache=400_000)
    for first in range(8):
        for step in (1, 2, 3):
            ask(session, first, Fraction(step, 4))
    assert max(batching) == 2
    assert 0 < session.statistics()["peak_bytes"] <= 400_000


def test_noise_is_asked_for_by_position(opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the picture that is made, on the source axis: a midpoint has its own, and so has the same time of another
    pair.
    """
    asked: list[Fraction] = []

    def inputs(self: object, pair: object, position: Fraction) -> dict[str, Tensor]:
        asked.append(position)
        return {}

    monkeypatch.setattr(Interpolator, "random_inputs", inputs)
    session = opened("fake_half")
    ask(session, 3, Fraction(1, 4))
    ask(session, 4, Fraction(1, 2))
    ask(session, 6, Fraction(1, 2), second=9)
    assert asked == [Fraction(7, 2), Fraction(13, 4), Fraction(9, 2), Fraction(15, 2)]


def test_a_size_that_cannot_fit_is_refused(opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch) -> None:
    from vsvfi.engine import build

    find = build.find
    monkeypatch.setattr(
        build,
        "find",
        lambda name: (dataclasses.replace(find(name)[0], memory=lambda width, height, number: 1 << 60), find(name)[1]),
    )
    with pytest.raises(
        ClipError, match=r"2 pictures of 30x18 at a time take Fake about 2147483648\.0 GiB in float32, cpu has"
    ):
        opened(workers=2)


def test_workers_share_torchs_threads_and_leave_others_alone(opened: Callable[..., Session]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    try:
        session = opened(workers=2)
        taken: list[int] = []
        session.blend(0, Blend(0, 1, Fraction(1, 2)), load, lambda image: taken.append(torch.get_num_threads()))
        with ThreadPoolExecutor(1) as others:
            assert others.submit(torch.get_num_threads).result() == 6
        assert taken == [3]
        assert torch.get_num_threads() == 6
        torch.set_num_threads(1)
        opened(workers=2).blend(
            0, Blend(0, 1, Fraction(1, 2)), load, lambda image: taken.append(torch.get_num_threads())
        )
        assert taken == [3, 1]
    finally:
        torch.set_num_threads(before)
