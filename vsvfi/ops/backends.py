"""Which implementations of the operators can run here, and why the others cannot. Of the operators it knows only which to try; imports nothing heavy at first.

    reference    plain torch: runs anywhere, and is what the others are tested against
    llvmlite     native code for the CPU, compiled at run time by LLVM
    cupy         CUDA kernels compiled at run time by CuPy
    mamba_ssm    the scan kernel of the mamba_ssm package
The environment variable VSVFI_OPS forces one of them.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from dataclasses import dataclass

from vsvfi.errors import ArgumentError
from vsvfi.packages import is_installed, load, one_line

_log = logging.getLogger(__name__)

NAMES = ("reference", "llvmlite", "cupy", "mamba_ssm")
_DEVICES = {"llvmlite": "cpu", "cupy": "cuda", "mamba_ssm": "cuda"}
"""The kind of device that a backend's kernels run on."""

_TRIED = {"llvmlite": ("lookup", "scan", "sepconv", "splat"), "mamba": ("scan",)}
"""The operators whose kernels are tried on a few numbers before a backend is used: kernel_NAME of each has a `fault()`."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One implementation: whether it may be used here, and the reason either way."""

    name: str
    available: bool
    reason: str


def forced() -> str | None:
    """The backend that VSVFI_OPS names, or None.

    Raises:
        ArgumentError: there is no backend of this name.
    """
    name = os.environ.get("VSVFI_OPS", "").strip()
    if not name:
        return None
    if name not in NAMES:
        raise ArgumentError("VSVFI_OPS", name, "is no operator backend", f"use {', '.join(NAMES[:-1])} or {NAMES[-1]}, or unset it")
    return name


def backends() -> list[Backend]:
    """Every backend with its state here. Imports torch, and CuPy and mamba_ssm where they are installed.

    Raises:
        ArgumentError: VSVFI_OPS names no backend.
    """
    only = forced()
    faults = {"reference": None, "llvmlite": _llvmlite_fault, "cupy": _cupy_fault, "mamba_ssm": _mamba_fault}
    found = []
    for name in NAMES:
        probe = faults[name]
        fault = probe() if probe is not None else None
        if fault is None and only not in (None, name):
            fault = f"VSVFI_OPS={only}"
        found.append(Backend(name, fault is None, fault or ("plain torch, runs anywhere" if name == "reference" else "ready")))
    return found


def choose(device: str, kernels: tuple[str, ...]) -> Backend:
    """The backend that an operator uses on a kind of device: the first of its kernels that can run, else the reference.

    Args:
        device: "cuda", "cpu", ...
        kernels: the backends that the operator has besides the reference, best first; those for another kind of device are passed over.

    Raises:
        ArgumentError: VSVFI_OPS names no backend, or one of these that cannot run here.
    """
    return _choose(device, kernels, forced())


@functools.cache
def _choose(device: str, kernels: tuple[str, ...], only: str | None) -> Backend:
    found = {backend.name: backend for backend in backends()}
    fitting = [name for name in kernels if _DEVICES[name] == device]
    if not fitting:
        return Backend("reference", True, f"there is no kernel for {device}")
    if only in fitting and not found[only].available:
        raise ArgumentError("VSVFI_OPS", only, f"cannot run here: {found[only].reason}", "unset it")
    for name in fitting:
        if found[name].available:
            return found[name]
    reason = "; ".join(f"{name}: {found[name].reason}" for name in fitting)
    if only is None:  # said once, since the choice is remembered
        _log.warning("no kernel for this %s can be used, the slower reference runs instead (%s)", "CPU" if device == "cpu" else "GPU", reason)
    return Backend("reference", True, reason)


def _llvmlite_fault() -> str | None:
    """Why native code cannot be made for the CPU here."""
    if not is_installed("llvmlite"):
        return "llvmlite is not installed; install it"
    for module in ("torch", "llvmlite.binding"):
        loaded = load(module)
        if isinstance(loaded, str):
            return f"{module} cannot be imported ({loaded})"
    return _trial("llvmlite")


def _cupy_fault() -> str | None:
    """Why CuPy's kernels cannot run here."""
    fault = _import_fault("cupy", "install vsvfi[cuda13] or vsvfi[cuda12], whichever torch was built for")
    if fault is not None:
        return fault
    import torch

    try:
        runtime = int(importlib.import_module("cupy").cuda.runtime.runtimeGetVersion()) // 1000
    except Exception as error:  # a stand-in, or a CuPy whose CUDA does not load
        return f"cupy does not work here ({one_line(error)})"
    if str(torch.version.cuda).split(".")[0] != str(runtime):
        return f"CuPy is built for CUDA {runtime}, torch for CUDA {torch.version.cuda}: install cupy-cuda{str(torch.version.cuda).split('.')[0]}x"
    return None


def _mamba_fault() -> str | None:
    """Why the scan kernel of mamba_ssm cannot run here."""
    fault = _import_fault("mamba_ssm", "install vsvfi[mamba], which needs the CUDA compiler", "mamba_ssm.ops.selective_scan_interface")
    return fault or _trial("mamba")


def _trial(kernel: str) -> str | None:
    """What is wrong with a backend's kernels on this machine. One that fails stops them all, which is told; none is used in silence beside it."""
    import torch

    with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):  # a caller's would round what the trials compare with
        try:
            found = [importlib.import_module(f"vsvfi.ops.{operator}.kernel_{kernel}").fault() for operator in _TRIED[kernel]]
        except Exception as error:  # a package that is there in part
            return f"its kernels cannot be loaded ({one_line(error)})"
    return ", ".join(fault for fault in found if fault is not None) or None


def _import_fault(package: str, remedy: str, module: str | None = None) -> str | None:
    """Why a package for CUDA is of no use here: not installed, no device, or broken."""
    if not is_installed(package):
        return f"{package} is not installed; {remedy}"
    torch = load("torch")
    if isinstance(torch, str):
        return f"torch does not work here ({torch.partition(':')[0]})"
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    loaded = load(module or package)
    return f"{module or package} cannot be imported ({loaded})" if isinstance(loaded, str) else None
