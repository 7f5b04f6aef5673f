"""Every family's phases, and the pipeline around them, on fake CUDA tensors.

Fails on an operator that waits for the device, on one that mixes or copies between devices, and on memory that grows
with the number of frames.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from tests.fake_cuda import DEVICE, StallError, Watch, fake_cuda, fake_image, on_fake_cuda
from tests.models.small import CASES, Case
from vsvfi.engine import pipeline
from vsvfi.engine.frame_source import SourceFrame
from vsvfi.engine.observer import Observer
from vsvfi.engine.pipeline import Pipeline
from vsvfi.engine.run_config import CacheSizes
from vsvfi.plan.timeline import Interpolate

_NOTES = {"", "half hr tta", "ensemble", "raft", "flowformer", "4.0 and 4.1", "4.25 and 4.26", "4.6 ensemble"}
SOME = [case for case in CASES if case.note in _NOTES]


_TIME = Fraction(1, 4)


class _Frames:
    """A source whose frames are on the device already."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size

    def read(self, index: int) -> SourceFrame:
        image = fake_image(*self._size)
        return SourceFrame(image, torch.zeros_like(image) if index % 2 else None)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=str(case), marks=[pytest.mark.slow] * (case.family == "ldmvfi")) for case in SOME],
)
def test_the_steady_state_never_waits_for_the_device(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    network = case.network().requires_grad_(False).to("meta")
    bisects = case.family == "ldmvfi"
    monkeypatch.setattr(pipeline, "tensor_bytes", lambda value: 1)
    sizes = CacheSizes(frames=1 << 30, pairs=1 << 30, levels=1 << 30, entries=2, batched_levels=2)
    with fake_cuda() as watch:
        on_fake_cuda(network, torch.float16)
        running = Pipeline(
            network, _Frames(case.size), torch.device(DEVICE), sizes, workers=1, bisects=bisects, observer=Observer()
        )
        live = []
        for index in range(7):
            if index == 1:
                watch.__enter__()  # what is computed once is computed now
            image = running.interpolate(Interpolate(index, index + 1, _TIME))
            out_of_range = running.source_frame(index).out_of_range
            if out_of_range is not None:
                image = image + float(_TIME) * out_of_range
            assert (image.device.type, image.dtype, *image.shape) == (DEVICE, torch.float32, 1, 3, *case.size)
            del image, out_of_range
            live.append(watch.now)
        watch.__exit__(None, None, None)
    assert live[4] == live[5] == live[6]


def test_the_watch_finds_what_it_watches_for() -> None:
    with fake_cuda() as watch:
        image = fake_image(4, 4)
        for wrong in (
            lambda: bool(image.any()),
            lambda: torch.equal(image, image),
            lambda: image + torch.ones(()),
            lambda: torch.tensor([1.0, 2.0], device=DEVICE),
            lambda: image.cpu(),
        ):
            with pytest.raises(StallError), watch:
                wrong()
        with Watch() as counting:
            torch.conv2d(image, fake_image(3, 3), image[0, 0, 0, :1]).relu()[:, :1]
    assert dict(counting.launches) == {"clone": 1, "convolution": 1, "bias": 1, "relu": 1}
