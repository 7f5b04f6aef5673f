"""All CUDA launchers: load each file once, refuse invalid launches, queue nothing for an empty grid."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from vsvfi.ops import cuda
from vsvfi.ops.cuda import Argument, KernelFile, Launcher, Size, compile_options, raw

CPU = torch.device("cpu")


class Noted(Launcher[object, object]):
    """A launcher that compiles slowly, runs nothing, and records its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[tuple[str, ...]] = []
        self.started: list[object] = []
        self.failing = False

    def _load(self, source: str, options: tuple[str, ...], device: int) -> object:
        time.sleep(0.02)
        if self.failing:
            raise RuntimeError("no compiler")
        self.loaded.append(options)
        return options

    def _get(self, module: object, name: str, device: int) -> object:
        return name

    def _start(self, function: object, arguments: Sequence[Argument], device: int, grid: Size, block: Size) -> None:
        self.started.append(function)


@pytest.fixture
def kernels(tmp_path: Path) -> KernelFile:
    (tmp_path / "cuda.cu").write_text('extern "C" __global__ void nothing() {}\n')
    return KernelFile(tmp_path / "cuda.cu")


def launch(
    launcher: Noted,
    kernels: KernelFile,
    *arguments: Argument,
    name: str = "nothing",
    grid: Size = (1, 2, 3),
    element: torch.dtype = torch.float32,
) -> None:
    launcher.launch(kernels, name, arguments, device=CPU, grid=grid, block=(32, 2, 1), types={"ELEMENT": element})


def test_each_file_and_type_is_loaded_once(kernels: KernelFile) -> None:
    launcher = Noted()
    for _ in range(3):
        launch(launcher, kernels)
        launch(launcher, kernels, name="other")
        launch(launcher, kernels, element=torch.bfloat16)
    assert launcher.loaded == [("-std=c++17", "-DELEMENT=float"), ("-std=c++17", "-DELEMENT=bfloat16")]
    assert launcher.started == ["nothing", "other", "nothing"] * 3


def test_threads_share_one_compilation(kernels: KernelFile) -> None:
    launcher = Noted()
    threads = [threading.Thread(target=launch, args=(launcher, kernels)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(launcher.loaded) == 1
    assert len(launcher.started) == 8


def test_a_compilation_that_fails_is_tried_again(kernels: KernelFile) -> None:
    launcher = Noted()
    launcher.failing = True
    with pytest.raises(RuntimeError, match="no compiler"):
        launch(launcher, kernels)
    launcher.failing = False
    launch(launcher, kernels)
    assert len(launcher.loaded) == 1


def test_nothing_is_loaded_while_a_graph_is_captured(kernels: KernelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Noted()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="nothing: not loaded yet, and a CUDA graph is being captured; run it once"):
        launch(launcher, kernels)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    launch(launcher, kernels)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    launch(launcher, kernels)
    assert len(launcher.started) == 2


def test_an_empty_grid_asks_for_nothing(kernels: KernelFile) -> None:
    launcher = Noted()
    launch(launcher, kernels, grid=(4, 0, 1))
    assert launcher.loaded == launcher.started == []


def test_tensors_are_on_one_device(kernels: KernelFile) -> None:
    launcher = Noted()
    with pytest.raises(ValueError, match="nothing: a tensor is on meta, must be on cpu like the others"):
        launch(launcher, kernels, torch.zeros(1), torch.zeros(1, device="meta"))
    assert launcher.loaded == []


def test_a_source_is_one_text_that_needs_no_header(kernels: KernelFile) -> None:
    source = kernels.source
    assert "#include" not in source
    assert (
        source.index('#line 1 "ops/element.cuh"') < source.index("struct bfloat16") < source.index('cuda.cu"\nextern')
    )


def test_macros_name_types() -> None:
    assert compile_options({"ELEMENT": torch.float16, "OTHER": torch.float32}) == (
        "-std=c++17",
        "-DELEMENT=float16",
        "-DOTHER=float",
    )


def test_pointers_alone_are_unsigned() -> None:
    tensor = torch.zeros(3)
    arguments = [raw(argument) for argument in (tensor, None, np.int32(-1), np.int64(2), np.float32(0.5))]
    assert arguments == [tensor.data_ptr(), 0, -1, 2, 0.5]
    assert [type(argument) for argument in arguments] == [np.uint64, np.uint64, np.int32, np.int64, np.float32]


@pytest.mark.parametrize("name", ["nvrtc", "cupy"])
def test_each_backend_has_one_launcher(name: str) -> None:
    if name == "nvrtc":
        pytest.importorskip("cuda.bindings")
    assert cuda.launcher(name) is cuda.launcher(name)
