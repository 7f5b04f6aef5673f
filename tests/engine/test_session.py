"""Frames are encoded once, pairs prepared once, memory is bounded, and results depend on the request alone."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from tests.engine.sessions import HEIGHT, WIDTH, ask, load, source
from tests.fakes import Recorder
from vsvfi.engine.session import Session
from vsvfi.plan.timeline import Interpolate


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
    session.interpolate(0, Interpolate(0, 1, Fraction(1, 4)), bright, lambda image: taken.append(image.clone()))
    # The network sees its own range
    assert sorted(detail for phase, detail in fake_family.calls if phase == "encode") == [
        0,
        1,
    ]
    assert torch.allclose(taken[0], torch.full((3, HEIGHT, WIDTH), 0.75 * 1.25 - 0.25 * 0.25), atol=1e-6)


@pytest.mark.parametrize("model", ["fake", "fake_half"])
def test_between_identical_images_lies_the_same(
    opened: Callable[..., Session], fake_family: Recorder, model: str
) -> None:
    """Identical frames give the same frame bit for bit, whatever the network would compute.

    Static scenes therefore do not flicker, even where duplicates are not skipped.
    """
    session = opened(model)
    taken: list[Tensor] = []
    for t in (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)):
        session.interpolate(
            0, Interpolate(0, 1, t), lambda index, into: load(7, into), lambda image: taken.append(image.clone())
        )
    assert all(torch.equal(image, source(7)) for image in taken)
    assert fake_family.counts()["synthesise"] == fake_family.counts()["prepare"] == 0


def test_broken_samples_do_not_spread(opened: Callable[..., Session]) -> None:
    session = opened()

    def broken(index: int, into: Tensor) -> None:
        into.fill_(0.5)
        into[0, 0, 0, 0] = float("nan")
        into[0, 1, 0, 0] = float("inf")

    taken: list[Tensor] = []
    session.interpolate(0, Interpolate(0, 1, Fraction(1, 2)), broken, lambda image: taken.append(image.clone()))
    assert torch.isfinite(taken[0][:, 1:, 1:]).all()
    assert torch.equal(taken[0][:, 1:, 1:], torch.full((3, HEIGHT - 1, WIDTH - 1), 0.5))


def test_pairs_across_a_hold(opened: Callable[..., Session]) -> None:
    session = opened("fake_half")
    result = ask(session, 4, Fraction(1, 2), second=6)
    assert torch.allclose(result, (source(4) + source(6)) / 2, atol=1e-6)
    assert torch.allclose(ask(session, 4, Fraction(1, 4), second=6), 0.75 * source(4) + 0.25 * source(6), atol=1e-6)
    # Source frame 5, not the midpoint of 4 and 6
    assert torch.allclose(ask(session, 5, Fraction(1, 2)), (source(5) + source(6)) / 2, atol=1e-6)


def test_workers_share_torchs_threads_and_leave_others_alone(opened: Callable[..., Session]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    try:
        session = opened(workers=2)
        taken: list[int] = []
        session.interpolate(
            0, Interpolate(0, 1, Fraction(1, 2)), load, lambda image: taken.append(torch.get_num_threads())
        )
        with ThreadPoolExecutor(1) as others:
            assert others.submit(torch.get_num_threads).result() == 6
        assert taken == [3]
        assert torch.get_num_threads() == 6
        torch.set_num_threads(1)
        opened(workers=2).interpolate(
            0, Interpolate(0, 1, Fraction(1, 2)), load, lambda image: taken.append(torch.get_num_threads())
        )
        assert taken == [3, 1]
    finally:
        torch.set_num_threads(before)


def test_a_first_frame_that_is_not_finite_is_logged_once(
    opened: Callable[..., Session], caplog: pytest.LogCaptureFixture
) -> None:
    session = opened()
    (device,) = session._workers
    with torch.inference_mode():
        device._pipeline._network.gain.fill_(float("nan"))  # type: ignore[attr-defined,operator]
    for first in range(2):
        ask(session, first, Fraction(1, 2))
    (record,) = caplog.records
    assert "first frame holds NaN or infinity; pass precision='fp32'" in record.getMessage()
