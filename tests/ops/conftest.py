"""What the tests of operators share: their forms on the CPU, and CUDA kernels on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import pytest
import torch

from tests.ops import cuda_emulation
from tests.ops.cuda_emulation.cupy_double import CupyDouble
from vsvfi.ops import backends, cupy_kernels


@pytest.fixture(scope="session")
def emulation() -> Iterator[None]:
    """Leave to compile kernels for the CPU."""
    if sys.platform == "win32":
        pytest.skip("the emulation switches threads by ucontext, which Windows lacks")
    if cuda_emulation.compiler() is None:
        pytest.skip("no C++ compiler (g++ or clang++) on PATH")
    yield
    cuda_emulation.remove_builds()


@pytest.fixture
def emulated_cupy(emulation: None, monkeypatch: pytest.MonkeyPatch) -> CupyDouble:
    """CuPy's stand-in, in place: the launching code of operators runs their kernels on CPU tensors."""
    double = CupyDouble()
    double.__spec__ = ModuleSpec("cupy", None)  # type: ignore[attr-defined]  # looked for wherever a backend is chosen
    monkeypatch.setitem(sys.modules, "cupy", double)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=4321))
    monkeypatch.setattr(cupy_kernels, "_kernels", {})
    raw = cupy_kernels._raw
    monkeypatch.setattr(cupy_kernels, "_raw", lambda argument: double.remember(argument, raw(argument)))
    return double


@pytest.fixture
def fresh_choice() -> Iterator[None]:
    """Choices are remembered; not those of machines made up for a test."""
    backends._choose.cache_clear()
    yield
    backends._choose.cache_clear()


@pytest.fixture(params=["reference", "llvmlite"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Operators through one of their forms on the CPU."""
    backends._choose.cache_clear()
    if request.param == "llvmlite" and not next(found for found in backends.backends() if found.name == "llvmlite").available:
        pytest.skip("llvmlite does not work here")
    monkeypatch.setenv("VSVFI_OPS", request.param)
    return str(request.param)
