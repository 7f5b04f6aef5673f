"""Report which backends can run on this machine: the packages and devices that their kernels need.

Heavy packages are only imported when probed.

    reference    plain torch: runs anywhere; the other backends are tested against it
    llvmlite     CPU kernels, compiled at run time by LLVM
    nvrtc        CUDA kernels, compiled and launched with the libraries of torch's CUDA wheels
    cupy         the same CUDA kernels, compiled and launched by CuPy
    mamba_ssm    the scan kernel of the mamba_ssm package

The environment variable VSVFI_OPS forces one of them.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from vsvfi.errors import ArgumentError
from vsvfi.packages import is_installed, load, one_line

DEVICES = {"reference": None, "llvmlite": "cpu", "nvrtc": "cuda", "cupy": "cuda", "mamba_ssm": "cuda"}
"""Every backend, and the kind of device that its kernels run on."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Whether a backend can be used here, and the reason either way."""

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
    if name not in DEVICES:
        *others, last = DEVICES
        raise ArgumentError(
            "VSVFI_OPS", name, "is no operator backend", f"use {', '.join(others)} or {last}, or unset it"
        )
    return name


def obstacle(backend: str) -> str | None:
    """Why this backend cannot run here, or None. The kernels themselves are tested by `vsvfi.ops.dispatch`."""
    probes: dict[str, Callable[[], str | None]] = {
        "llvmlite": _llvmlite,
        "mamba_ssm": _mamba,
        "nvrtc": _nvrtc,
        "cupy": _cupy,
    }
    return probes[backend]() if backend in probes else None


def _llvmlite() -> str | None:
    if not is_installed("llvmlite"):
        return "llvmlite is not installed; install it"
    return _import_error("torch") or _import_error("llvmlite.binding")


def _nvrtc() -> str | None:
    remedy = "torch's CUDA wheels for Linux bring it; elsewhere install vsvfi[cuda13] or vsvfi[cuda12]"
    found = (
        _on_cuda("cuda.bindings", f"cuda-bindings is not installed; {remedy}")
        or _import_error("cuda.bindings.driver")
        or _import_error("cuda.bindings.nvrtc")
    )
    if found is not None:
        return found
    import torch

    return "torch is built for ROCm, not for CUDA" if torch.version.cuda is None else None


def _cupy() -> str | None:
    found = _on_cuda(
        "cupy", "cupy is not installed; install vsvfi[cuda13] or vsvfi[cuda12], whichever torch was built for"
    ) or _import_error("cupy")
    if found is not None:
        return found
    import torch

    try:
        runtime = int(importlib.import_module("cupy").cuda.runtime.runtimeGetVersion()) // 1000
    except Exception as error:  # CuPy raises various errors if its CUDA libraries do not load
        return f"cupy does not work here ({one_line(error)})"
    wanted = str(torch.version.cuda).split(".")[0]
    return (
        None
        if wanted == str(runtime)
        else f"CuPy is built for CUDA {runtime}, torch for CUDA {torch.version.cuda}: install cupy-cuda{wanted}x"
    )


def _mamba() -> str | None:
    missing = "mamba_ssm is not installed; install vsvfi[mamba], which needs the CUDA compiler"
    return _on_cuda("mamba_ssm", missing) or _import_error("mamba_ssm.ops.selective_scan_interface")


def _on_cuda(package: str, missing: str) -> str | None:
    """Why a CUDA package cannot be used: it is not installed, or there is no torch or no device; else None."""
    if not is_installed(package):
        return missing
    torch = load("torch")
    if isinstance(torch, str):
        return f"torch does not work here ({torch.partition(':')[0]})"
    return None if torch.cuda.is_available() else "torch sees no CUDA device"


def _import_error(module: str) -> str | None:
    """Why a module cannot be imported, or None."""
    loaded = load(module)
    return f"{module} cannot be imported ({loaded})" if isinstance(loaded, str) else None


@functools.cache
def remembered_obstacle(backend: str) -> str | None:
    """`obstacle`, cached for the process."""
    return obstacle(backend)
