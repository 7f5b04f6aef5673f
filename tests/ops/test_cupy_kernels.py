"""How kernels are compiled and launched, seen by a CuPy that only takes notes: no device and no compiler is needed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vsvfi.ops import cupy_kernels
from vsvfi.ops.cupy_kernels import Argument, KernelFile, compile_options

CPU = torch.device("cpu")


class Notes:
    """A CuPy that compiles slowly, runs nothing, and writes down what it is asked for."""

    def __init__(self, *, old: bool = False) -> None:
        self.compiled: list[tuple[str, tuple[str, ...]]] = []
        self.events: list[Any] = []
        if old:
            self.cuda = SimpleNamespace(Device=self.device, Stream=SimpleNamespace(), ExternalStream=self.stream)
        else:
            self.cuda = SimpleNamespace(Device=self.device, Stream=SimpleNamespace(from_external=lambda adopted: self.stream(adopted.__cuda_stream__())))

    @contextmanager
    def device(self, index: int | None) -> Iterator[None]:
        self.events.append(("device", index))
        yield

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.events.append(("stream", stream))
        yield

    def RawModule(self, *, code: str, options: tuple[str, ...]) -> SimpleNamespace:  # noqa: N802  (CuPy's own name)
        time.sleep(0.02)
        self.compiled.append((code, options))
        return SimpleNamespace(get_function=lambda name: NotedKernel(self, name))


class NotedKernel:
    """A kernel that only says that it was called."""

    def __init__(self, notes: Notes, name: str) -> None:
        self.notes, self.name = notes, name

    @property
    def num_regs(self) -> int:
        self.notes.events.append(("load", self.name))
        return 1

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        self.notes.events.append((self.name, grid, block, arguments))


def use(monkeypatch: pytest.MonkeyPatch, notes: Notes) -> Notes:
    monkeypatch.setitem(sys.modules, "cupy", notes)
    monkeypatch.setattr(cupy_kernels, "_kernels", {})
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=77))
    return notes


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    return use(monkeypatch, Notes())


@pytest.fixture
def kernels(tmp_path: Path) -> KernelFile:
    (tmp_path / "kernel.cu").write_text('extern "C" __global__ void nothing() {}\n')
    return KernelFile(tmp_path / "kernel.cu")


def launch(
    kernels: KernelFile, *arguments: Argument, name: str = "nothing", grid: tuple[int, int, int] = (1, 2, 3), element: torch.dtype = torch.float32
) -> None:
    kernels.launch(name, arguments, device=CPU, grid=grid, block=(32, 2, 1), types={"ELEMENT": element})


def test_a_launch_says_device_and_stream_and_passes_raw_arguments(notes: Notes, kernels: KernelFile) -> None:
    tensor = torch.zeros(3)
    launch(kernels, tensor, None, np.int32(-1), np.int64(2), np.float32(0.5))
    device, stream, loaded, (name, grid, block, arguments) = notes.events
    assert (device, stream, loaded) == (("device", None), ("stream", (0, 77)), ("load", "nothing"))
    assert (name, grid, block) == ("nothing", (1, 2, 3), (32, 2, 1))
    assert arguments == (tensor.data_ptr(), 0, -1, 2, 0.5)
    assert [type(argument) for argument in arguments] == [np.uint64, np.uint64, np.int32, np.int64, np.float32]


def test_an_older_cupy_is_told_the_stream_in_its_own_way(monkeypatch: pytest.MonkeyPatch, kernels: KernelFile) -> None:
    notes = use(monkeypatch, Notes(old=True))
    launch(kernels)
    assert ("stream", 77) in notes.events


def test_each_kernel_and_type_is_compiled_once(notes: Notes, kernels: KernelFile) -> None:
    for _ in range(3):
        launch(kernels)
        launch(kernels, name="other")
        launch(kernels, element=torch.bfloat16)
    assert [options for _, options in notes.compiled] == [
        ("-std=c++17", "-DELEMENT=float"),
        ("-std=c++17", "-DELEMENT=float"),
        ("-std=c++17", "-DELEMENT=bfloat16"),
    ]
    assert len([event for event in notes.events if event[0] in ("nothing", "other")]) == 9


def test_threads_share_one_compilation(notes: Notes, kernels: KernelFile) -> None:
    threads = [threading.Thread(target=launch, args=(kernels,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(notes.compiled) == 1
    assert len([event for event in notes.events if event[0] == "nothing"]) == 8


def test_a_compilation_that_fails_is_tried_again(notes: Notes, kernels: KernelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setattr(notes, "RawModule", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            launch(kernels)
    launch(kernels)
    assert len(notes.compiled) == 1


def test_an_empty_grid_asks_for_nothing(kernels: KernelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    launch(kernels, grid=(4, 0, 1))
    with pytest.raises(ModuleNotFoundError):
        launch(kernels)


def test_tensors_lie_on_one_device(notes: Notes, kernels: KernelFile) -> None:
    with pytest.raises(ValueError, match="nothing: a tensor on meta, must be on cpu like the others"):
        launch(kernels, torch.zeros(1), torch.zeros(1, device="meta"))
    assert not notes.events


def test_a_source_is_one_text_that_needs_no_header(notes: Notes, kernels: KernelFile) -> None:
    launch(kernels)
    ((source, _),) = notes.compiled
    assert source == kernels.source()
    assert "#include" not in source
    assert source.index('#line 1 "ops/element.cuh"') < source.index("struct bfloat16") < source.index('kernel.cu"\nextern')


def test_macros_name_types() -> None:
    assert compile_options({"ELEMENT": torch.float16, "OTHER": torch.float32}) == ("-std=c++17", "-DELEMENT=float16", "-DOTHER=float")


def test_registering_the_operators_does_not_import_cupy() -> None:
    script = "import sys; sys.modules['cupy'] = None; import vsvfi.ops.splat.kernel_cupy, torch; torch.ops.vsvfi.splat_values.default"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
