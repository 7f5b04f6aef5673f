"""Kernel selection on fake machines: what can run, what passed its self-test, what declines."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from vsvfi.errors import ArgumentError
from vsvfi.ops import dispatch, probe
from vsvfi.ops.dispatch import Kernel, Operator, backends, operators
from vsvfi.ops.probe import DEVICES, Backend, forced

CUPY = "class cuda:\n  class runtime:\n    runtimeGetVersion = staticmethod(lambda: {})\n"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_choice: None) -> Iterator[Path]:
    """A folder for packages, on a machine with only a CUDA device.

    Every kernel passes its self-test.
    """
    monkeypatch.delenv("VSVFI_OPS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(Operator, "_failure", lambda operator, kernel: None)
    kept = forget("cupy", "mamba_ssm", "cuda")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget("cupy", "mamba_ssm", "cuda")
    sys.modules.update(kept)


def forget(*packages: str) -> dict[str, ModuleType]:
    """Take packages out of the loaded modules; returns those that were there."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in packages}


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


# What can run here.


def test_the_reference_is_always_there() -> None:
    assert [backend.name for backend in backends()] == list(DEVICES)
    assert states()["reference"] == (True, "plain torch, runs anywhere")


def test_cupy_of_torchs_cuda_is_ready(machine: Path) -> None:
    install(machine, "cupy", CUPY.format(13000))
    assert states()["cupy"] == (True, "ready")


def test_cupy_of_another_cuda_is_not(machine: Path) -> None:
    install(machine, "cupy", CUPY.format(12090))
    assert states()["cupy"] == (False, "CuPy is built for CUDA 12, torch for CUDA 13.2: install cupy-cuda13x")


def test_a_cupy_that_does_not_work_is_a_reason(machine: Path) -> None:
    install(machine, "cupy", "")
    assert states()["cupy"] == (
        False,
        "cupy does not work here (AttributeError: module 'cupy' has no attribute 'cuda')",
    )


def test_nvrtc_needs_both_of_its_modules_and_cuda(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(machine, "cuda", "", "bindings.driver")
    assert states()["nvrtc"] == (
        False,
        "cuda.bindings.nvrtc cannot be imported (ModuleNotFoundError: No module named 'cuda.bindings.nvrtc')",
    )
    install(machine, "cuda", "", "bindings.nvrtc")
    forget("cuda")
    assert states()["nvrtc"] == (True, "ready")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert states()["nvrtc"] == (False, "torch is built for ROCm, not for CUDA")


@pytest.mark.parametrize(
    ("package", "module", "name"),
    [("cupy", "__init__", "cupy"), ("mamba_ssm", "ops.selective_scan_interface", "mamba_ssm")],
)
def test_packages_without_a_device_or_broken(
    machine: Path, monkeypatch: pytest.MonkeyPatch, package: str, module: str, name: str
) -> None:
    install(machine, package, "raise OSError('libcudart.so: cannot open\\nmore')", module)
    available, reason = states()[name]
    assert not available
    assert reason.endswith("cannot be imported (OSError: libcudart.so: cannot open)")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert states()[name] == (False, "torch sees no CUDA device")


def test_llvmlite_that_does_not_load_is_a_reason(machine: Path) -> None:
    kept = forget("llvmlite")
    try:
        install(machine, "llvmlite", "raise OSError('libllvmlite.so: cannot open\\nmore')", "binding")
        assert states()["llvmlite"] == (
            False,
            "llvmlite.binding cannot be imported (OSError: libllvmlite.so: cannot open)",
        )
    finally:
        forget("llvmlite")
        sys.modules.update(kept)


def test_what_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "is_installed", lambda name: False)
    found = states()
    assert found["cupy"] == (
        False,
        "cupy is not installed; install vsvfi[cuda13] or vsvfi[cuda12], whichever torch was built for",
    )
    assert found["llvmlite"] == (False, "llvmlite is not installed; install it")
    assert found["mamba_ssm"][1].startswith("mamba_ssm is not installed; install vsvfi[mamba]")
    assert found["nvrtc"][1].startswith("cuda-bindings is not installed; torch's CUDA wheels for Linux bring it")


def test_a_broken_torch_is_a_reason_too(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(machine, "cupy", CUPY.format(13000))
    monkeypatch.setitem(sys.modules, "torch", None)
    assert states()["cupy"] == (False, "torch does not work here (ModuleNotFoundError)")
    assert states()["llvmlite"][1].startswith("torch cannot be imported")


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
    with pytest.raises(
        ArgumentError,
        match="VSVFI_OPS='triton', is no operator backend; use reference, llvmlite, nvrtc, cupy or mamba_ssm, "
        "or unset it",
    ):
        backends()


def test_the_modules_are_light() -> None:
    heavy = ("torch", "cupy", "llvmlite", "mamba_ssm", "cuda")
    script = f"import sys, vsvfi.ops.dispatch; sys.exit(int(any(name in sys.modules for name in {heavy})))"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


# What takes a call.


class Made:
    """An operator that adds one, with a kernel for the CPU and two for CUDA, and a record of their calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.declined: str | None = None
        monkeypatch.setattr(dispatch, "_OPERATORS", dict(dispatch._OPERATORS))
        self.operator = Operator(
            "made",
            reference=self.by("reference"),
            kernels=[
                Kernel("llvmlite", self.by("llvmlite")),
                Kernel("nvrtc", self.by("nvrtc"), lambda values: self.declined),
                Kernel("cupy", self.by("cupy")),
            ],
            sample_inputs=lambda: [(torch.arange(3.0),)],
            multiply_adds=lambda values: 0,
        )

    def by(self, name: str):  # type: ignore[no-untyped-def]
        def run(values: Tensor) -> Tensor:
            self.calls.append(name)
            return values + 1

        return run

    def run(self, device: str = "cuda") -> str:
        """Who takes a call."""
        self.operator.run(device, torch.zeros(2))
        return self.calls[-1]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(monkeypatch)


@pytest.fixture
def obstacles(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Why backends cannot run."""
    found: dict[str, str | None] = {"cupy": "cupy is not installed"}
    monkeypatch.setattr(probe, "remembered_obstacle", found.get)
    return found


def test_the_first_kernel_that_can_run_takes_the_call(made: Made, obstacles: dict[str, str | None]) -> None:
    assert (made.run("cpu"), made.run("cuda"), made.run("mps")) == ("llvmlite", "nvrtc", "reference")
    assert made.operator.choice("cuda") == Backend("nvrtc", True, "ready")
    assert made.operator.choice("mps") == Backend("reference", True, "there is no kernel for mps")
    made.operator.forget()
    obstacles.update(nvrtc="cuda-bindings is not installed", cupy=None)
    assert made.run() == "cupy"


def test_without_a_kernel_the_reason_is_logged_once(
    made: Made, obstacles: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    obstacles.update(nvrtc="cuda-bindings is not installed", llvmlite="llvmlite is not installed")
    assert [made.run(device) for device in ("cuda", "cuda", "cpu", "cpu")] == ["reference"] * 4
    assert [record.getMessage() for record in caplog.records] == [
        "made: no kernel for this GPU can be used, the slower reference runs instead (nvrtc: cuda-bindings is not "
        "installed; cupy: cupy is not installed)",
        "made: no kernel for this CPU can be used, the slower reference runs instead (llvmlite: llvmlite is not "
        "installed)",
    ]
    assert made.operator.choice("cpu") == Backend("reference", True, "llvmlite: llvmlite is not installed")


def test_a_kernel_may_decline_a_call_which_is_logged_once(
    made: Made, obstacles: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    made.declined = "17 states (at most 16)"
    assert made.run() == made.run() == "reference"
    obstacles["cupy"] = None
    assert made.run() == "cupy"
    made.declined = None
    assert made.run() == "nvrtc"
    said = "made: nvrtc cannot compute 17 states (at most 16), another kernel or the slower reference runs instead"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [said]


def test_nothing_is_the_references(made: Made, obstacles: dict[str, str | None]) -> None:
    made.operator.run("cpu", torch.zeros(0))
    assert made.calls == ["reference"]


def test_a_forced_backend_is_used_or_refused(
    made: Made, obstacles: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSVFI_OPS", "reference")
    assert (made.run("cpu"), made.run("cuda")) == ("reference", "reference")
    monkeypatch.setenv("VSVFI_OPS", "mamba_ssm")  # of which this operator has none
    assert made.run() == "reference"
    monkeypatch.setenv("VSVFI_OPS", "cupy")
    assert made.run("cpu") == "reference"
    with pytest.raises(ArgumentError, match="VSVFI_OPS='cupy', cannot run here: cupy is not installed; unset it"):
        made.run()
    obstacles["cupy"] = None
    assert made.run() == "cupy"


# Self-tests.


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch, made: Made, obstacles: dict[str, str | None]) -> Made:
    """Kernels are really tested; those for CUDA on the CPU."""
    monkeypatch.undo()
    monkeypatch.delenv("VSVFI_OPS", raising=False)
    monkeypatch.setattr(dispatch, "_OPERATORS", dict(dispatch._OPERATORS))
    monkeypatch.setattr(probe, "remembered_obstacle", obstacles.get)
    monkeypatch.setitem(DEVICES, "nvrtc", "cpu")
    return made


def test_an_operator_is_tested_when_it_is_first_called_and_once(tested: Made) -> None:
    assert tested.calls == []
    tested.run("cpu")
    tested.run("cpu")
    assert tested.calls == ["reference", "llvmlite", "llvmlite", "llvmlite"]


def test_a_kernel_that_fails_its_test_is_not_used(tested: Made, caplog: pytest.LogCaptureFixture) -> None:
    def broken(values: Tensor) -> Tensor:
        raise RuntimeError("no code for this CPU\nat all")

    def wrong(values: Tensor) -> Tensor:
        return values + 1.001

    for number, (kernel, reason) in enumerate(
        (
            (broken, "made fails here (RuntimeError: no code for this CPU)"),
            (wrong, "made does not compute its definition here"),
            (lambda values: values * torch.nan, "made does not compute its definition here"),
            (lambda values: values[:2] + 1, "made does not compute its definition here"),
        )
    ):
        tested.operator.forget()
        tested.operator.kernels = (Kernel("llvmlite", kernel),)
        assert tested.operator.self_test("llvmlite") == reason
        assert tested.run("cpu") == "reference"
        assert len(caplog.records) == number + 1
        assert f"(llvmlite: {reason})" in caplog.records[-1].getMessage()


def test_a_callers_autocast_does_not_spoil_the_test(tested: Made) -> None:
    tested.operator.kernels = (Kernel("llvmlite", lambda values: (values[None] @ torch.eye(3))[0] + 1),)
    tested.operator.sample_inputs = lambda: [(torch.tensor([1.001, 2.002, 3.003]),)]
    with torch.autocast("cpu", torch.bfloat16):
        assert tested.operator.self_test("llvmlite") is None


def test_a_backend_reports_the_operators_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = {"splat"}
    monkeypatch.setattr(
        Operator, "_failure", lambda operator, kernel: "it is wrong" if operator.name in failing else None
    )
    assert states()["llvmlite"] == (True, "it is wrong")
    failing.update(operator.name for operator in operators())
    for operator in operators():
        operator.forget()
    available, reason = states()["llvmlite"]
    assert not available
    assert reason == "; ".join(
        ["it is wrong"] * sum(kernel.backend == "llvmlite" for operator in operators() for kernel in operator.kernels)
    )


# The operators of the package.


def test_every_folder_with_an_op_has_operators() -> None:
    folders = {path.parent.name for path in Path(dispatch.__file__).parent.glob("*/op.py")}
    made = {operator.name: operator.sample_inputs.__module__.split(".")[-2] for operator in operators()}
    assert set(made.values()) == folders >= {"lookup", "scan", "sepconv", "splat", "refinement"}
    assert all(made[name] == name for name in ("lookup", "scan", "sepconv", "splat"))
    for name in made:
        assert hasattr(torch.ops.vsvfi, name)


@pytest.mark.parametrize(
    "operator",
    [operator for operator in operators() if any(kernel.backend == "llvmlite" for kernel in operator.kernels)],
    ids=lambda operator: operator.name,
)
def test_the_kernels_for_this_cpu_pass(operator: Operator[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if probe.obstacle("llvmlite") is not None:
        pytest.skip("llvmlite does not work here")
    operator.forget()
    assert operator.self_test("llvmlite") is None


def test_a_call_tests_its_own_operator_alone() -> None:
    script = (
        "import torch; from vsvfi.ops.splat import splat; splat(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2));"
        "from vsvfi.ops.dispatch import operators;"
        "print([operator.name for operator in operators() if operator._tested])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "['splat']"), done.stderr
