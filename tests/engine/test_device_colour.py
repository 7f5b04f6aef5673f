"""Colour conversion on a device that this machine may lack: operators, waiting, choice of the path."""

from __future__ import annotations

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


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: f"{form.family}{form.bits}")
@pytest.mark.parametrize("scene_linear", [False, True])
def test_conversions_stay_on_the_device(form: FrameFormat, scene_linear: bool) -> None:
    coding = Coding(1, False, 0, scene_linear)
    with FakeTensorMode(), torch.no_grad():
        colour = DeviceColour(form, torch.device("cuda"))
        packed = torch.empty(form.frame_bytes, dtype=torch.uint8, device="cuda")
        bounds = torch.zeros(1, 3, 1, 1, device="cuda"), torch.ones(1, 3, 1, 1, device="cuda")

        def convert() -> Tensor:
            image = colour.to_rgb(packed, coding)
            assert (image.shape, image.dtype) == ((1, 3, form.height, form.width), torch.float32)
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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: f"{form.family}{form.bits}")
def test_a_captured_graph_converts_as_the_cpu_does(form: FrameFormat) -> None:
    coding, device = Coding(1, False, 0), torch.device("cuda", 0)
    samples = 8 if form.floating else form.bits
    codes = torch.randint(0, 1 << samples, (form.frame_bytes // form.sample_bytes,))
    kind = {8: torch.uint8, 16: torch.float16 if form.floating else torch.uint16, 32: torch.float32}[
        8 * form.sample_bytes
    ]
    packed = (codes / 256 if form.floating else codes).to(kind).view(torch.uint8)
    cpu, cuda = DeviceColour(form, torch.device("cpu")), DeviceColour(form, device)
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
    assert (ours - theirs).abs().max() <= (1e-3 if form.floating else 1)
