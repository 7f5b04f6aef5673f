"""How the launcher asks CuPy to compile and launch, recorded by a fake CuPy.

No device and no compiler is needed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vsvfi.ops.cuda import Argument, KernelFile
from vsvfi.ops.cupy_launcher import CupyLauncher, launcher

CPU = torch.device("cpu")


class Notes:
    """A CuPy that compiles slowly, runs nothing, and records its calls."""

    def __init__(self, *, old: bool = False) -> None:
        self.compiled: list[tuple[str, tuple[str, ...]]] = []
        self.events: list[Any] = []
        if old:
            self.cuda = SimpleNamespace(Device=self.device, Stream=SimpleNamespace(), ExternalStream=self.stream)
        else:
            self.cuda = SimpleNamespace(
                Device=self.device,
                Stream=SimpleNamespace(from_external=lambda adopted: self.stream(adopted.__cuda_stream__())),
            )

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
    """A kernel that only records that it was called."""

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
    launcher: CupyLauncher,
    kernels: KernelFile,
    *arguments: Argument,
    name: str = "nothing",
    element: torch.dtype = torch.float32,
) -> None:
    launcher.launch(kernels, name, arguments, device=CPU, grid=(1, 2, 3), block=(32, 2, 1), types={"ELEMENT": element})


def test_a_launch_names_device_and_stream_and_passes_raw_arguments(notes: Notes, kernels: KernelFile) -> None:
    tensor = torch.zeros(3)
    launch(CupyLauncher(), kernels, tensor, None, np.int32(-1), np.int64(2), np.float32(0.5))
    *loading, loaded, device, stream, (name, grid, block, arguments) = notes.events
    assert (loading, loaded) == ([("device", 0), ("device", 0)], ("load", "nothing"))
    assert (device, stream) == (("device", 0), ("stream", (0, 77)))
    assert (name, grid, block) == ("nothing", (1, 2, 3), (32, 2, 1))
    assert arguments == (tensor.data_ptr(), 0, -1, 2, 0.5)
    assert [type(argument) for argument in arguments] == [np.uint64, np.uint64, np.int32, np.int64, np.float32]


def test_an_older_cupy_gets_the_stream_in_its_own_way(monkeypatch: pytest.MonkeyPatch, kernels: KernelFile) -> None:
    notes = use(monkeypatch, Notes(old=True))
    launch(CupyLauncher(), kernels)
    assert ("stream", 77) in notes.events


def test_a_module_is_compiled_once_for_all_its_kernels(notes: Notes, kernels: KernelFile) -> None:
    launcher = CupyLauncher()
    for _ in range(3):
        launch(launcher, kernels)
        launch(launcher, kernels, name="other")
        launch(launcher, kernels, element=torch.bfloat16)
    assert notes.compiled == [(kernels.source, ("-std=c++17", f"-DELEMENT={name}")) for name in ("float", "bfloat16")]
    assert len([event for event in notes.events if event[0] in ("nothing", "other")]) == 9


def test_cupy_is_imported_by_the_first_launch() -> None:
    script = (
        "import sys; sys.modules['cupy'] = None; from vsvfi.ops import cupy_launcher, splat; cupy_launcher.launcher()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_there_is_a_launcher() -> None:
    assert isinstance(launcher(), CupyLauncher)
