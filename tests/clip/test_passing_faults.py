"""A single fault anywhere costs at most the frame in progress.

Every later frame is that of a clean run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
import vapoursynth as vs

import vsvfi
from tests.fakes import Recorder, arrays, painted
from vsvfi.clip import interpolation_pool
from vsvfi.engine import cache, pipeline, transfers, worker
from vsvfi.engine.device_colour import DeviceColour
from vsvfi.engine.observer import Observer
from vsvfi.engine.padding import Padding
from vsvfi.models.interpolator import Interpolator

LENGTH = 5
BLENDS = [*range(1, 2 * LENGTH - 2, 2), *range(2 * LENGTH - 3, 0, -2)]
"""Output frames between source frames, forward and backward: the second half reuses the cache of the first."""

POINTS: dict[str, tuple[object, str]] = {
    "thread start": (threading.Thread, "start"),
    "allocation": (torch, "empty"),
    "times": (torch, "full"),
    "load": (interpolation_pool, "read_planes"),
    "deliver": (interpolation_pool, "write_planes"),
    "planes": (interpolation_pool, "planes_of"),
    "range": (torch.Tensor, "aminmax"),
    "upload": (transfers.Transfers, "upload"),
    "download": (transfers.Transfers, "download"),
    "pad": (Padding, "pad"),
    "crop": (Padding, "crop"),
    "phase": (Observer, "phase"),
    "random_inputs": (Interpolator, "random_inputs"),
    "synthesise_batch": (Interpolator, "synthesise_batch"),
    "find_static_region": (pipeline, "find_static_region"),
    "inference": (worker, "inference"),
    "hold": (cache.Cache, "_hold"),
    "measure": (pipeline, "tensor_bytes"),
    "pack": (interpolation_pool, "pack_planes"),
    "unpack": (interpolation_pool, "unpack_planes"),
    "to RGB": (DeviceColour, "to_rgb"),
    "from RGB": (DeviceColour, "from_rgb"),
}
"""Every kind of call that a frame takes; "phase" is any call of the network."""

ON_DEVICE = {"pack", "unpack", "to RGB", "from RGB"}
"""Calls that frames take whose colour is converted on the device."""

FAULTS = [RuntimeError("can't start new thread"), torch.OutOfMemoryError("CUDA out of memory")]


def clip() -> vs.VideoNode:
    def paint(n: int, plane: int, array: np.ndarray) -> None:
        array[:] = np.random.default_rng(3 * n + plane).random(array.shape)

    return painted(paint, format=vs.RGBS, width=30, height=18, length=LENGTH, fpsnum=24)


def interpolated(fake: Recorder) -> vs.VideoNode:
    arguments = {"weights": fake.weights, "device": "cpu", "streams": 2}
    return vsvfi.interpolate(clip(), model="fake", scene="off", duplicates="off", **arguments)


def played(node: vs.VideoNode) -> dict[int, list[np.ndarray] | str]:
    """Every frame of `BLENDS`, several at a time: its planes, or the message of its error."""
    found: dict[int, list[np.ndarray] | str] = {}
    futures = [(n, node.get_frame_async(n)) for n in BLENDS]
    for n, future in futures:
        try:
            with future.result(60) as frame:
                found[n] = arrays(frame)
        except vs.Error as error:
            found[n] = str(error)
    return found


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("point", POINTS)
def test_a_fault_costs_at_most_the_frame_that_ran(
    fake_family: Recorder, monkeypatch: pytest.MonkeyPatch, point: str, fault: Exception
) -> None:
    monkeypatch.setenv("VSVFI_COLOUR", "device" if point in ON_DEVICE else "zimg")
    clean = played(interpolated(fake_family))
    owner, name = POINTS[point]
    original: Callable[..., object] = getattr(owner, name)
    lock, calls, struck_at = threading.Lock(), [0], [0]

    def failing(*given: object, **named: object) -> object:
        with lock:
            calls[0] += 1
            strikes = calls[0] == struck_at[0]
        if strikes:
            raise type(fault)(*fault.args)
        return original(*given, **named)

    monkeypatch.setattr(owner, name, failing)
    for call in (1, 2, 4):
        node = interpolated(fake_family)
        calls[0], struck_at[0] = 0, call
        during = played(node)
        failed = [n for n, result in during.items() if isinstance(result, str)]
        assert calls[0] >= 1, "the fault was never near"
        assert len(failed) <= 1
        for n in failed:
            assert f"frame {n}" in str(during[n])
        for results in (during, played(node)):
            for n, expected in clean.items():
                result = results[n]
                if results is during and n in failed:
                    continue
                assert not isinstance(result, str), f"frame {n} still fails after a fault at call {call}: {result}"
                assert all(np.array_equal(a, b) for a, b in zip(result, expected, strict=True))
