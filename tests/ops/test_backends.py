"""Which operator backends are said to be available, on machines made up for the purpose."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from vsvfi.errors import ArgumentError
from vsvfi.ops import backends as backend_module
from vsvfi.ops.backends import NAMES, Backend, backends, choose, forced
from vsvfi.ops.lookup import kernel_llvmlite as lookup_kernel
from vsvfi.ops.scan import kernel_llvmlite as scan_kernel
from vsvfi.ops.scan import kernel_mamba
from vsvfi.ops.sepconv import kernel_llvmlite as sepconv_kernel
from vsvfi.ops.splat import kernel_llvmlite as splat_kernel

CUPY = "class cuda:\n  class runtime:\n    runtimeGetVersion = staticmethod(lambda: {})\n"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for packages, on a machine with a CUDA device and nothing else."""
    monkeypatch.delenv("VSVFI_OPS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    kept = forget("cupy", "mamba_ssm")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget("cupy", "mamba_ssm")
    sys.modules.update(kept)


def forget(*packages: str) -> dict[str, ModuleType]:
    """Take packages out of the loaded modules; returns those that were there."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in packages}


@pytest.fixture
def no_llvmlite() -> Iterator[None]:
    """Nothing of llvmlite is loaded, for tests that put another in its place."""
    kept = forget("llvmlite")
    yield
    forget("llvmlite")
    sys.modules.update(kept)


def install(machine: Path, package: str, content: str, module: str = "__init__") -> None:
    """A package that stands before any real one of its name."""
    place = machine / package / f"{module.replace('.', '/')}.py"
    place.parent.mkdir(parents=True, exist_ok=True)
    for folder in (machine / package, place.parent):
        (folder / "__init__.py").touch()
    place.write_text(content)
    importlib.invalidate_caches()


def states() -> dict[str, tuple[bool, str]]:
    return {backend.name: (backend.available, backend.reason) for backend in backends()}


def test_the_reference_is_always_there(machine: Path) -> None:
    assert [backend.name for backend in backends()] == list(NAMES)
    assert states()["reference"] == (True, "plain torch, runs anywhere")


def test_cupy_of_torchs_cuda_is_ready(machine: Path) -> None:
    install(machine, "cupy", CUPY.format(13000))
    assert states()["cupy"] == (True, "ready")


def test_cupy_of_another_cuda_is_not(machine: Path) -> None:
    install(machine, "cupy", CUPY.format(12090))
    assert states()["cupy"] == (False, "CuPy is built for CUDA 12, torch for CUDA 13.2: install cupy-cuda13x")


@pytest.mark.parametrize("package", ["cupy", "mamba_ssm"])
def test_packages_without_a_device_or_broken(machine: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    module = "__init__" if package == "cupy" else "ops.selective_scan_interface"
    install(machine, package, "raise OSError('libcudart.so: cannot open\\nmore')", module)
    available, reason = states()[package]
    assert not available
    assert reason.endswith("cannot be imported (OSError: libcudart.so: cannot open)")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert states()[package] == (False, "torch sees no CUDA device")


def test_mamba_is_ready_once_its_kernel_was_tried(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(machine, "mamba_ssm", "", "ops.selective_scan_interface")
    monkeypatch.setattr(kernel_mamba, "fault", lambda: None)
    assert states()["mamba_ssm"] == (True, "ready")
    monkeypatch.setattr(kernel_mamba, "fault", lambda: "its scan does not compute the definition here")
    assert states()["mamba_ssm"] == (False, "its scan does not compute the definition here")


@pytest.mark.usefixtures("no_llvmlite")
def test_native_code_for_the_cpu(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(machine, "llvmlite", "", "binding")
    faults: dict[ModuleType, str | None] = dict.fromkeys((lookup_kernel, scan_kernel, sepconv_kernel, splat_kernel))
    for module in faults:
        monkeypatch.setattr(module, "fault", functools.partial(faults.get, module))
    assert states()["llvmlite"] == (True, "ready")
    faults[splat_kernel] = "its splat does not compute the definition here"
    assert states()["llvmlite"] == (False, "its splat does not compute the definition here")
    faults[scan_kernel] = "its scan fails here (RuntimeError: no code for this CPU)"
    assert states()["llvmlite"] == (False, "its scan fails here (RuntimeError: no code for this CPU), its splat does not compute the definition here")
    forget("llvmlite")
    install(machine, "llvmlite", "raise OSError('libllvmlite.so: cannot open\\nmore')", "binding")
    assert states()["llvmlite"] == (False, "llvmlite.binding cannot be imported (OSError: libllvmlite.so: cannot open)")


def test_what_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert states()["cupy"] == (False, "cupy is not installed; install vsvfi[cuda13] or vsvfi[cuda12], whichever torch was built for")
    assert states()["llvmlite"] == (False, "llvmlite is not installed; install it")
    assert states()["mamba_ssm"][1].startswith("mamba_ssm is not installed; install vsvfi[mamba]")


def test_one_backend_can_be_forced(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(machine, "cupy", CUPY.format(13000))
    assert forced() is None
    monkeypatch.setenv("VSVFI_OPS", "reference")
    assert forced() == "reference"
    assert states()["cupy"] == (False, "VSVFI_OPS=reference")
    assert states()["reference"][0]
    monkeypatch.setenv("VSVFI_OPS", "cupy")
    assert states()["cupy"][0]
    assert states()["reference"] == (False, "VSVFI_OPS=cupy")


def test_an_unknown_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSVFI_OPS", "triton")
    with pytest.raises(ArgumentError, match="VSVFI_OPS='triton', is no operator backend; use reference, llvmlite, cupy or mamba_ssm"):
        backends()


def test_the_module_is_light() -> None:
    script = "import sys, vsvfi.ops.backends; sys.exit(int(any(name in sys.modules for name in ('torch', 'cupy', 'llvmlite', 'mamba_ssm'))))"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_a_broken_torch_is_a_reason_too(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(machine, "cupy", CUPY.format(13000))
    monkeypatch.setitem(sys.modules, "torch", None)
    assert states()["cupy"] == (False, "torch does not work here (ModuleNotFoundError)")


@pytest.mark.usefixtures("fresh_choice")
def test_an_operator_takes_its_first_kernel_that_runs(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("cuda", ("mamba_ssm", "cupy")).name == "reference"
    assert choose("cuda", ("mamba_ssm", "cupy")).name == "reference"
    assert choose("cuda", ("mamba_ssm", "cupy")).reason.startswith("mamba_ssm: mamba_ssm is not installed")
    backend_module._choose.cache_clear()
    install(machine, "cupy", CUPY.format(13000))
    assert choose("cuda", ("mamba_ssm", "cupy")).name == "cupy"
    assert choose("cpu", ("cupy",)) == Backend("reference", True, "there is no kernel for cpu")
    monkeypatch.setenv("VSVFI_OPS", "reference")
    assert choose("cuda", ("cupy",)).name == "reference"
    monkeypatch.setenv("VSVFI_OPS", "mamba_ssm")
    assert choose("cuda", ("cupy",)).name == "reference"
    with pytest.raises(ArgumentError, match=r"VSVFI_OPS='mamba_ssm', cannot run here: mamba_ssm is not installed; .*; unset it"):
        choose("cuda", ("mamba_ssm", "cupy"))


def test_a_callers_autocast_does_not_spoil_the_trials() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert backend_module._trial("llvmlite") is None
