"""Kernels through cuda-bindings: compiled by the real NVRTC if torch brings it, launched by a fake driver."""

from __future__ import annotations

import ctypes
import struct
import threading
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vsvfi.ops import nvrtc as module
from vsvfi.ops.binaries import BinaryCache
from vsvfi.ops.cuda import KernelFile
from vsvfi.ops.nvrtc import Compiler, NvrtcLauncher

CPU = torch.device("cpu")


class Result(IntEnum):
    """As the driver answers."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2


OK = Result.CUDA_SUCCESS


class Driver:
    """A fake driver that records its calls.

    It has one device, whose context is current on no thread until it is pushed.
    """

    CONTEXT = 4711

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.images: list[bytes] = []
        self.packed: list[tuple[int, ...]] = []
        self.sizes: list[int] = []
        self.fail = False
        self._stack = threading.local()

    def current(self) -> int:
        return self.stack[-1] if self.stack else 0

    @property
    def stack(self) -> list[int]:
        if not hasattr(self._stack, "contexts"):
            self._stack.contexts = []
        contexts: list[int] = self._stack.contexts
        return contexts

    def cuDeviceGet(self, ordinal: int) -> tuple[Result, int]:  # noqa: N802
        return OK, 100 + ordinal

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[Result, int]:  # noqa: N802
        self.events.append(("retain", device))
        return OK, self.CONTEXT

    def cuCtxGetCurrent(self) -> tuple[Result, int]:  # noqa: N802
        return OK, self.current()

    def cuCtxPushCurrent(self, context: int) -> tuple[Result]:  # noqa: N802
        self.stack.append(context)
        return (OK,)

    def cuCtxPopCurrent(self) -> tuple[Result, int]:  # noqa: N802
        return OK, self.stack.pop()

    def cuModuleLoadData(self, address: int) -> tuple[Result, str]:  # noqa: N802
        assert self.current() == self.CONTEXT
        self.images.append(ctypes.string_at(address, 6))
        return OK, "module"

    def cuModuleGetFunction(self, loaded: str, name: bytes) -> tuple[Result, bytes]:  # noqa: N802
        assert (self.current(), loaded) == (self.CONTEXT, "module")
        return OK, name

    def cuFuncLoad(self, function: bytes) -> tuple[Result]:  # noqa: N802
        self.events.append(("load", function))
        return (OK,)

    def cuLaunchKernel(  # noqa: N802
        self,
        function: bytes,
        gx: int,
        gy: int,
        gz: int,
        bx: int,
        by: int,
        bz: int,
        shared: int,
        stream: int,
        parameters: int,
        extra: int,
    ) -> tuple[Result]:
        assert self.current() == self.CONTEXT
        self.events.append((function, (gx, gy, gz), (bx, by, bz), shared, stream, extra))
        places = (ctypes.c_void_p * len(self.sizes)).from_address(parameters)
        self.packed.append(tuple(ctypes.string_at(place, size) for place, size in zip(places, self.sizes, strict=True)))  # type: ignore[arg-type, misc]
        return (Result.CUDA_ERROR_OUT_OF_MEMORY if self.fail else OK,)


class Compiles:
    """A compiler whose binaries name their inputs."""

    version = "13.0"

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], str]] = []

    def architecture(self, capability: tuple[int, int]) -> str:
        return f"sm_{capability[0]}{capability[1]}"

    def compile(self, source: str, options: tuple[str, ...], architecture: str) -> bytes:
        self.asked.append((options, architecture))
        return b"cubin!" + architecture.encode()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=70 + device.index))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    return Driver()


@pytest.fixture
def kernels(tmp_path: Path) -> KernelFile:
    (tmp_path / "cuda.cu").write_text('extern "C" __global__ void nothing() {}\n')
    return KernelFile(tmp_path / "cuda.cu")


def made(driver: Driver, folder: Path, compiler: Compiles | None = None) -> NvrtcLauncher:
    return NvrtcLauncher(driver, compiler or Compiles(), BinaryCache(folder))  # type: ignore[arg-type]


def launch(launcher: NvrtcLauncher, kernels: KernelFile, *arguments: object, name: str = "nothing") -> None:
    launcher.launch(
        kernels,
        name,
        arguments,  # type: ignore[arg-type]
        device=CPU,
        grid=(4, 5, 6),
        block=(32, 2, 1),
        types={"ELEMENT": torch.float16},
    )


def test_a_start_passes_every_argument_on_torchs_stream(driver: Driver, kernels: KernelFile, tmp_path: Path) -> None:
    tensor = torch.arange(3)
    arguments = (np.int32(-7), tensor, np.float32(0.5), None, np.int64(-(2**40)), np.int32(9))
    driver.sizes = [4, 8, 4, 8, 8, 4]
    launch(made(driver, tmp_path), kernels, *arguments)
    assert driver.events == [("retain", 100), ("load", b"nothing"), (b"nothing", (4, 5, 6), (32, 2, 1), 0, 70, 0)]
    wanted = [("i", -7), ("Q", tensor.data_ptr()), ("f", 0.5), ("Q", 0), ("q", -(2**40)), ("i", 9)]
    assert driver.packed == [tuple(struct.pack(kind, value) for kind, value in wanted)]
    assert driver.images == [b"cubin!"]
    assert driver.stack == []


def test_arguments_are_aligned_to_their_sizes() -> None:
    kinds = (np.int32, np.uint64, np.float32, np.int32, np.int64)
    layout, offsets = module._packing(kinds)
    assert offsets == (0, 8, 16, 20, 24)
    assert layout.size == 32


def test_a_kernel_without_arguments_starts(driver: Driver, kernels: KernelFile, tmp_path: Path) -> None:
    launch(made(driver, tmp_path), kernels)
    assert driver.packed == [()]


def test_every_thread_gets_the_context_and_loses_it(driver: Driver, kernels: KernelFile, tmp_path: Path) -> None:
    launcher = made(driver, tmp_path)
    left: list[list[int]] = []

    def work() -> None:
        launch(launcher, kernels)
        left.append(list(driver.stack))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left == [[]] * 4
    assert [event[0] for event in driver.events].count("retain") >= 1
    driver.stack.append(driver.CONTEXT)  # where torch has made it current, it stays so
    launch(launcher, kernels)
    assert driver.stack == [driver.CONTEXT]


def test_an_error_of_the_driver_says_which(driver: Driver, kernels: KernelFile, tmp_path: Path) -> None:
    driver.fail = True
    with pytest.raises(RuntimeError, match="CUDA driver: CUDA_ERROR_OUT_OF_MEMORY"):
        launch(made(driver, tmp_path), kernels)
    assert driver.stack == []


def test_binaries_are_kept_by_architecture_and_compiler(
    driver: Driver, kernels: KernelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = Compiles()
    for _ in range(2):  # two processes
        launch(made(driver, tmp_path / "cache", compiler), kernels)
    assert compiler.asked == [(("-std=c++17", "-DELEMENT=float16"), "sm_86")]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    launch(made(driver, tmp_path / "cache", compiler), kernels)
    monkeypatch.setattr(Compiles, "version", "13.1")
    launch(made(driver, tmp_path / "cache", compiler), kernels)
    assert [architecture for _, architecture in compiler.asked] == ["sm_86", "sm_90", "sm_90"]


@pytest.fixture
def compiler() -> Compiler:
    """The real one."""
    return Compiler(pytest.importorskip("cuda.bindings.nvrtc", reason="torch brought no cuda-bindings"))


def test_the_compiler_makes_machine_code_and_portable_code(compiler: Compiler) -> None:
    source = 'extern "C" __global__ void twice(ELEMENT* a) { a[threadIdx.x] *= 2; }'
    assert compiler.compile(source, ("-DELEMENT=float",), "sm_86").startswith(b"\x7fELF")
    portable = compiler.compile(source, ("-DELEMENT=float",), "compute_86")
    assert b".target sm_86" in portable
    assert portable.endswith(b"\0")


def test_what_the_compiler_refuses_is_reported(compiler: Compiler) -> None:
    with pytest.raises(RuntimeError, match=r"NVRTC [\d. ]+, sm_75: (?s:.*)no_such_name"):
        compiler.compile('extern "C" __global__ void broken(int* a) { a[0] = no_such_name; }', (), "sm_75")
    with pytest.raises(RuntimeError, match="NVRTC: NVRTC_ERROR_INVALID_INPUT"):
        compiler._call((compiler._nvrtc.nvrtcResult.NVRTC_ERROR_INVALID_INPUT,))


def test_a_device_gets_the_best_code_there_is(compiler: Compiler) -> None:
    assert compiler.architecture((8, 6)) == "sm_86"
    assert compiler.architecture((99, 0)).startswith("compute_1")
    with pytest.raises(RuntimeError, match=r"makes no code for compute capability 3\.5, \d\.\d is the oldest"):
        compiler.architecture((3, 5))


def test_the_launcher_of_the_process_keeps_binaries_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="torch brought no cuda-bindings")
    monkeypatch.setenv("VSVFI_CACHE", str(tmp_path))
    assert module.launcher()._cache._folder == tmp_path / "kernels"


def test_without_a_users_cache_kernels_are_compiled_by_every_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="torch brought no cuda-bindings")
    monkeypatch.setenv("VSVFI_CACHE", "~no-such-user-here/cache")
    with caplog.at_level("INFO"):
        cache = module.launcher()._cache
    assert "compiled kernels cannot be stored (VSVFI_CACHE" in caplog.text
    made = iter((b"one", b"two"))
    assert [cache.get(("source",), lambda: next(made)) for _ in range(2)] == [b"one", b"two"]
