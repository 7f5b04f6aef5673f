"""Devices, precision rules, temporary flags, padding.

Tests that need a GPU are marked and skipped where there is none.
"""

from __future__ import annotations

import dataclasses
import threading
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch

from tests.building import loaded, model_config, run_config
from vsvfi.engine import device as devices
from vsvfi.engine.device import (
    default_cache,
    describe,
    inference,
    limit_threads,
    limited_threads,
    multiplies_bfloat16,
    release,
    resolve_device,
    resolve_precision,
)
from vsvfi.engine.padding import Padding
from vsvfi.engine.placement import Placement
from vsvfi.engine.session import Session
from vsvfi.engine.transfers import Transfers
from vsvfi.errors import ArgumentError, DeviceError
from vsvfi.models.family import BuildConfig, SizeRule

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def test_auto_takes_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    present: dict[str, int] = {}
    monkeypatch.setattr(devices, "_count", lambda kind: present.get(kind, 0))
    assert resolve_device("auto") == torch.device("cpu")
    present["mps"] = 1
    assert resolve_device("auto") == torch.device("mps", 0)
    present["cuda"] = 2
    assert resolve_device("auto") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(
        DeviceError, match="device='cuda:2', there are 2 cuda devices, numbered from 0; use cuda:0 to cuda:1"
    ):
        resolve_device("cuda:2")
    with pytest.raises(DeviceError, match=r"device='xpu', torch .* sees no xpu device here; use device='cpu'"):
        resolve_device("xpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx512_f": True}, False), ({}, False)],
)
def test_bf16_is_automatic_only_where_the_cpu_and_the_model_allow_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    cpu = torch.device("cpu")
    assert multiplies_bfloat16() is expected
    assert resolve_precision("auto", cpu, half=True, bfloat=True) == (torch.bfloat16 if expected else torch.float32)
    assert resolve_precision("auto", cpu, half=True) == torch.float32
    assert resolve_precision("fp32", cpu, half=True, bfloat=True) == torch.float32


def test_half_precision_is_not_the_default_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, expected in (("NVIDIA GeForce GTX 1660", torch.float32), ("NVIDIA GeForce RTX 2060", torch.float16)):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        assert resolve_precision("auto", cuda, half=True) == expected
        assert resolve_precision("fp16", cuda, half=True) == torch.float16


def test_precision_rules() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    assert resolve_precision("auto", cpu, half=True) == torch.float32
    assert resolve_precision("auto", cuda, half=True) == torch.float16
    assert resolve_precision("auto", cuda, half=False, bfloat=True) == torch.float32
    assert resolve_precision("bf16", cpu, half=False) == torch.bfloat16
    with pytest.raises(ArgumentError, match="precision='fp16', is slow and incomplete on the CPU"):
        resolve_precision("fp16", cpu, half=True)
    with pytest.raises(ArgumentError, match="precision='fp16', is not accurate enough for this model"):
        resolve_precision("fp16", cuda, half=False)


def test_flags_hold_only_inside() -> None:
    """Also with threads that overlap in any order."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        devices._enter_flags("cuda")
        inside.set()
        leave.wait(10)
        devices._leave_flags("cuda")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    devices._enter_flags("cuda")
    leave.set()
    thread.join(10)
    assert (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic) == (False, False, False, True)
    devices._leave_flags("cuda")
    assert (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic) == before


def test_what_others_set_for_the_cpu_holds_only_outside() -> None:
    """A library that allows reduced precision or leaves autocast on changes no frame; its settings are kept."""
    backends = torch.backends.mkldnn
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            with inference(torch.device("cpu")), inference(torch.device("cpu")):
                assert (backends.matmul.fp32_precision, backends.conv.fp32_precision) == ("ieee", "ieee")
                assert not torch.is_autocast_enabled("cpu")
                assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
            assert torch.is_autocast_enabled("cpu")
        assert backends.matmul.fp32_precision == "bf16"
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_flag_that_cannot_be_set_leaves_all_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn:
        @property
        def fixed(self) -> int:
            return 1

    holder = SimpleNamespace(value=1)
    monkeypatch.setattr(devices, "_flags", lambda kind: [(holder, "value", 2), (Stubborn(), "fixed", 2)])
    for _ in range(2):
        with pytest.raises(AttributeError), inference(torch.device("cpu")):
            raise AssertionError("not reached")
        assert holder.value == 1
    monkeypatch.undo()
    with inference(torch.device("cpu")):
        pass


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_flags_set_by_torchs_newer_names_come_back(kind: str) -> None:
    """Some mixtures of its newer and older names torch refuses to read: nothing here fails for it."""
    conv, matmul = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = conv.fp32_precision, matmul.fp32_precision
    conv.fp32_precision, matmul.fp32_precision = "ieee", "tf32"
    try:
        devices._enter_flags(kind)
        if kind == "cuda":
            assert (conv.fp32_precision, matmul.fp32_precision) == ("ieee", "ieee")
        devices._leave_flags(kind)
        assert (conv.fp32_precision, matmul.fp32_precision) == ("ieee", "tf32")
    finally:
        conv.fp32_precision, matmul.fp32_precision = before


def test_limiting_threads_where_none_can_be_started_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = torch.get_num_threads()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        limit_threads(before + 3)
    assert torch.get_num_threads() == before
    with limited_threads(before + 2):
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before


def test_inference_records_no_gradients() -> None:
    with inference(torch.device("cpu")):
        assert torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled()


def test_facts_about_the_cpu() -> None:
    cpu = torch.device("cpu")
    assert 2**28 <= default_cache(cpu) <= 8 * 2**30
    assert describe(cpu) == "cpu"
    release(cpu)


def test_copies_on_the_cpu_are_none() -> None:
    transfer = Transfers(torch.device("cpu"))
    staging = transfer.staging((1, 3, 4, 5), torch.float32)
    assert transfer.upload(staging) is staging
    assert transfer.download(staging, torch.float32) is staging
    assert transfer.staging((1, 3, 4, 5), torch.float32) is not staging  # it became the image itself
    assert transfer.upload(transfer.staging((1, 3, 4, 5), torch.float16)).dtype == torch.float32


@pytest.mark.gpu
@needs_cuda
def test_copies_on_a_gpu_come_back() -> None:
    device = torch.device("cuda", 0)
    transfer = Transfers(device)
    for seed in range(20):
        staging = transfer.staging((1, 3, 64, 80), torch.float32)
        staging.copy_(torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(seed)))
        expected = staging.clone()
        assert torch.equal(transfer.download(transfer.upload(staging) * 2, torch.float32), expected * 2)


@pytest.mark.gpu
@needs_cuda
def test_a_session_on_a_gpu_matches_the_cpu() -> None:
    from tests.engine.test_session import HEIGHT, WIDTH, ask

    model = loaded("builtin")
    results = []
    for device in (torch.device("cpu"), torch.device("cuda", 0)):
        config = run_config(model_config(model), (WIDTH, HEIGHT), workers=2)
        config = dataclasses.replace(config, placements=(Placement(device, torch.float32),))
        session = Session(config, model)
        results.append([ask(session, first, Fraction(step, 3)) for first in range(4) for step in (1, 2)])
        session.close()
    for cpu, cuda in zip(*results, strict=True):
        assert torch.allclose(cpu, cuda, atol=1e-3)


@pytest.mark.parametrize("border", ["replicate", "reflect", "constant"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (16, 16), (40, 9)])
def test_padding_and_cropping(border: str, size: tuple[int, int]) -> None:
    height, width = size
    rule = SizeRule(16, border=border, value=0.5, minimum=32)  # type: ignore[arg-type]
    padding = Padding.of(BuildConfig(Fraction(1), rule, {}), width, height)
    image = torch.rand(1, 2, height, width)
    padded = padding.pad(image)
    assert padded.shape[-2] % 16 == padded.shape[-1] % 16 == 0
    assert min(padded.shape[-2:]) >= 32
    assert torch.equal(padding.crop(padded), image)
    if border == "constant":
        assert float(padded[..., 0, 0].max()) == 0.5
    elif border == "replicate":
        assert torch.equal(padded[..., 0, 0], image[..., 0, 0])
    else:  # mirrored as often as it takes, the edge never twice in a row
        row = padded[0, 0, padding.top]
        for offset in range(padding.left + 1):
            folded = offset % max(2 * (width - 1), 1)
            assert row[padding.left - offset] == image[0, 0, 0, min(folded, 2 * (width - 1) - folded)]


def test_no_padding_is_no_copy() -> None:
    image = torch.rand(1, 3, 32, 48)
    assert Padding.of(BuildConfig(Fraction(1), SizeRule(16), {}), 48, 32).pad(image) is image
