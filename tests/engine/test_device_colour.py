"""Colour conversion on a device that this machine may lack: operators, waiting, choice of the path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vsvfi.engine.colour_path import choose_colour
from vsvfi.engine.device import inference
from vsvfi.engine.device_colour import DeviceColour
from vsvfi.engine.frame_format import Coding, FrameFormat
from vsvfi.engine.frame_source import HostFrames
from vsvfi.engine.padding import Padding

CPU = torch.device("cpu")

FORMATS = [
    FrameFormat("yuv", 8, False, (1, 1), 32, 16),
    FrameFormat("yuv", 10, False, (0, 0), 32, 16),
    FrameFormat("yuv", 32, True, (2, 0), 32, 16),
    FrameFormat("rgb", 16, True, (0, 0), 32, 16),
    FrameFormat("grey", 16, False, (0, 0), 32, 16),
]


class Stays(TorchDispatchMode):
    """Refuse operators that read the device from the host, copy between both, or upload constants."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        assert function.name() not in ("aten::_local_scalar_dense", "aten::equal", "aten::nonzero")
        made = function(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, made)):
            assert not isinstance(leaf, Tensor) or leaf.device.type == "cuda", function.name()
        return made


@pytest.mark.parametrize("frame_format", FORMATS, ids=lambda frame_format: f"{frame_format.family}{frame_format.bits}")
@pytest.mark.parametrize("scene_linear", [False, True])
def test_conversions_stay_on_the_device(frame_format: FrameFormat, scene_linear: bool) -> None:
    coding = Coding(1, False, 0, scene_linear)
    with FakeTensorMode(), torch.no_grad():
        colour = DeviceColour(frame_format, torch.device("cuda"))
        packed = torch.empty(frame_format.frame_bytes, dtype=torch.uint8, device="cuda")
        bounds = torch.zeros(1, 3, 1, 1, device="cuda"), torch.ones(1, 3, 1, 1, device="cuda")

        def convert() -> Tensor:
            image = colour.to_rgb(packed, coding)
            assert (image.shape, image.dtype) == ((1, 3, frame_format.height, frame_format.width), torch.float32)
            return colour.from_rgb(image, coding, bounds if scene_linear else None)

        convert()  # uploads the coefficients
        with Stays() as watch:
            back = convert()
    assert (back.shape, back.dtype, back.device.type) == (packed.shape, torch.uint8, "cuda")
    assert watch.count < 60


@pytest.mark.parametrize(
    ("value", "devices", "on_device", "reason"),
    [
        (None, {"cpu"}, False, "the default on cpu"),
        (None, {"cuda"}, True, "the default on cuda"),
        ("auto", {"cuda", "cpu"}, False, "the default on cpu"),
        ("zimg", {"cuda"}, False, "VSVFI_COLOUR=zimg"),
        ("device", {"cpu"}, True, "VSVFI_COLOUR=device"),
    ],
)
def test_the_path_follows_the_device_and_the_variable(
    monkeypatch: pytest.MonkeyPatch, value: str | None, devices: set[str], on_device: bool, reason: str
) -> None:
    monkeypatch.delenv("VSVFI_COLOUR", raising=False)
    if value is not None:
        monkeypatch.setenv("VSVFI_COLOUR", value)
    found = choose_colour(devices)
    assert found.on_device is on_device
    assert found.reason.startswith(reason)


@pytest.fixture
def frames() -> Callable[..., HostFrames]:
    """Source frames on the CPU, of the format that is given."""
    padding = Padding(width=32, height=16, left=0, right=0, top=0, bottom=16)
    return lambda frame_format: HostFrames(CPU, padding, torch.float32, frame_format)


@pytest.mark.parametrize(
    ("frame_format", "full_range", "exceeds"),
    [
        (FrameFormat("rgb", 8, False, (0, 0), 32, 16), True, False),
        (FrameFormat("rgb", 8, False, (0, 0), 32, 16), False, True),
        (FrameFormat("grey", 10, False, (0, 0), 32, 16), True, False),
        (FrameFormat("yuv", 8, False, (1, 1), 32, 16), True, True),
        (FrameFormat("rgb", 32, True, (0, 0), 32, 16), True, True),
    ],
)
def test_values_are_split_only_where_they_can_exceed_the_range(
    frames: Callable[..., HostFrames], frame_format: FrameFormat, full_range: bool, exceeds: bool
) -> None:
    source = frames(frame_format)

    def load(index: int, into: Tensor) -> None:
        if frame_format.floating:
            into.view(torch.float32).copy_(torch.linspace(-1, 2, into.numel() // 4))
            into.view(torch.float32)[:3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
        else:
            into.fill_(255 if frame_format.bits == 8 else 3)

    with source.loading(load, {7: Coding(1, full_range, 0)}):
        read = source.read(7)
    assert read.image.shape == (1, 3, 32, 32)
    assert 0 <= read.image.min() <= read.image.max() <= 1
    assert (read.out_of_range is not None) == exceeds
    if read.out_of_range is not None:
        assert read.out_of_range.isfinite().all()
        assert read.out_of_range.abs().max() > 0


def test_scene_linear_results_are_limited_to_both_source_frames(frames: Callable[..., HostFrames]) -> None:
    frame_format = FrameFormat("rgb", 32, True, (0, 0), 32, 16)
    source, coding = frames(frame_format), Coding(1, True, 0, scene_linear=True)

    def load(index: int, into: Tensor) -> None:
        into.view(torch.float32).view(3, -1)[:] = torch.tensor([[0.1, 0.2, -1.0], [50.0, 0.3, 1e6]])[index][:, None]

    with source.loading(load, {0: coding, 1: coding}):
        ends = [source.read(0), source.read(1)]
        low, high = (
            source.download(torch.full((1, 3, 16, 32), level), 0, ends).clone().view(torch.float32).view(3, -1)[:, 0]
            for level in (-9.0, 9.0)
        )
    assert low.tolist() == pytest.approx([0.1, 0.2, -1.0], rel=1e-4)
    assert high.tolist() == pytest.approx([50.0, 0.3, 1e6], rel=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("frame_format", FORMATS, ids=lambda frame_format: f"{frame_format.family}{frame_format.bits}")
def test_a_captured_graph_converts_as_the_cpu_does(frame_format: FrameFormat) -> None:
    coding, device = Coding(1, False, 0), torch.device("cuda", 0)
    samples = 8 if frame_format.floating else frame_format.bits
    codes = torch.randint(0, 1 << samples, (frame_format.frame_bytes // frame_format.sample_bytes,))
    kind = {8: torch.uint8, 16: torch.float16 if frame_format.floating else torch.uint16, 32: torch.float32}[
        8 * frame_format.sample_bytes
    ]
    packed = (codes / 256 if frame_format.floating else codes).to(kind).view(torch.uint8)
    cpu, cuda = DeviceColour(frame_format, CPU), DeviceColour(frame_format, device)
    static = torch.zeros_like(packed, device=device)
    with inference(device):
        stream = torch.cuda.Stream(device)
        with torch.cuda.stream(stream):
            cuda.from_rgb(cuda.to_rgb(static, coding), coding)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            image = cuda.to_rgb(static, coding)
            back = cuda.from_rgb(image, coding)
        static.copy_(packed)
        graph.replay()
        expected = cpu.to_rgb(packed, coding)
        assert torch.allclose(image.cpu(), expected, atol=1e-5)
        ours, theirs = (t.cpu().view(kind).double() for t in (back, cpu.from_rgb(expected, coding)))
    assert (ours - theirs).abs().max() <= (1e-3 if frame_format.floating else 1)
