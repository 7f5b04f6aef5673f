"""What the tests of operators share: their kernels for the CPU, and CUDA kernels on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.ops import cuda_emulation
from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from vsvfi.ops import dispatch, probe


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
def emulated(emulation: None) -> EmulatedLauncher:
    """A launcher that runs CUDA kernels on CPU tensors."""
    return EmulatedLauncher()


_remembered = probe.remembered_obstacle  # tests put others in its place


def forget() -> None:
    """Forget what was probed, self-tested and logged."""
    _remembered.cache_clear()
    for operator in dispatch.operators():
        operator.forget()


@pytest.fixture
def fresh_choice() -> Iterator[None]:
    """Clear what is cached about this machine, and afterwards about the test's fake machines."""
    forget()
    yield
    forget()


@pytest.fixture(params=["reference", "llvmlite"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Operators through one of their kernels on the CPU."""
    if request.param == "llvmlite" and probe.obstacle("llvmlite") is not None:
        pytest.skip("llvmlite does not work here")
    monkeypatch.setenv("VSVFI_OPS", request.param)
    return str(request.param)
