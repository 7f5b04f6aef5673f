"""Every kernel file of the package compiles for every element type, on old and new devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

import vsvfi.ops
from tests.ops import nvrtc
from vsvfi.ops.cuda import TYPES, KernelFile, compile_options

type Compile = Callable[[str, Sequence[str], str], bytes]
FILES = sorted(Path(vsvfi.ops.__file__).parent.rglob("*.cu"))
ARCHITECTURES = ["sm_75", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]


@pytest.fixture(scope="module", params=["nvrtc", "nvcc"])
def build(request: pytest.FixtureRequest) -> Compile:
    """A compiler."""
    if request.param == "nvrtc" and nvrtc.library() is None:
        pytest.skip("torch's packages bring no NVRTC here")
    if request.param == "nvcc" and nvrtc.nvcc() is None:
        pytest.skip("nvcc is not on PATH")
    return nvrtc.compile_with_nvrtc if request.param == "nvrtc" else nvrtc.compile_with_nvcc


def test_there_are_kernel_files() -> None:
    assert FILES


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", TYPES, ids=TYPES.get)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_kernel_files_compile(path: Path, dtype: torch.dtype, architecture: str) -> None:
    """Macros other than ELEMENT have a default in the file."""
    source, options = KernelFile(path).source, compile_options({"ELEMENT": dtype})
    if nvrtc.library() is not None:
        assert nvrtc.compile_with_nvrtc(source, options, architecture)
    elif nvrtc.nvcc() is not None:
        assert nvrtc.compile_with_nvcc(source, options, architecture)
    else:
        pytest.skip("neither NVRTC among torch's packages nor nvcc on PATH")


def test_an_error_is_found_in_its_file(build: Compile, tmp_path: Path) -> None:
    path = tmp_path / "splat" / "cuda.cu"
    path.parent.mkdir()
    text = FILES[-1].read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join([*text[:3], "int broken = ;", *text[3:]]), encoding="utf-8")
    with pytest.raises(nvrtc.CompileError, match=r"splat/cuda.cu\D+4\D"):
        build(KernelFile(path).source, compile_options({"ELEMENT": torch.float32}), "sm_86")


def test_a_type_error_is_one_too(build: Compile) -> None:
    source = 'extern "C" __global__ void k(float* a) { a[0] = float16{0}; }'
    with pytest.raises(nvrtc.CompileError):
        build(KernelFile(FILES[0]).source + source, compile_options({"ELEMENT": torch.float32}), "sm_75")
