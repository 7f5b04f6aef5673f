"""Compile pieces with torch.compile: fused kernels instead of one per operator."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Mapping
from typing import Any

from vsvfi.engine.runtimes.interface import Call, Piece, Runtime
from vsvfi.errors import VsvfiError
from vsvfi.packages import is_installed
from vsvfi.user_cache import cache_directory

_MODE = "max-autotune-no-cudagraphs"
_COMPILERS = ("c++", "g++", "clang++")
_compiling = threading.Lock()


class CompileRuntime(Runtime):
    """Compile each piece for each kind of arguments. Results are cached on disk by torch; the first run takes minutes.

    Args:
        backend: of torch.compile.
    """

    summary = "torch.compile: fused kernels, after minutes of compiling on the first run"

    def __init__(self, backend: str = "inductor") -> None:
        self._backend = backend

    def obstacle(self, device: str, provider: str | None = None) -> str | None:
        if device == "cuda":
            return None if is_installed("triton") else "the package triton is missing"
        if device != "cpu":
            return "it compiles for CUDA and the CPU only"
        if sys.platform == "win32":
            return None if shutil.which("cl") else "it needs Microsoft's C++ compiler, cl"
        compilers = (os.environ["CXX"],) if os.environ.get("CXX") else _COMPILERS
        found = any(shutil.which(compiler.split()[0]) for compiler in compilers)
        return None if found else "it needs a C++ compiler: g++ or clang++"

    def specialise(self, piece: Piece, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        import torch

        options: dict[str, Any] = {"mode": _MODE} if self._backend == "inductor" else {}
        with _compiling:
            _keep_compiled()
            compiled: Call = torch.compile(piece.eager, backend=self._backend, dynamic=False, **options)
            compiled(*args, **kwargs)  # compiles now, while other threads wait for it
        return compiled


def _keep_compiled() -> None:
    """Let torch cache what it compiles in the user's cache, unless another folder is set; its default is temporary."""
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        try:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_directory() / "compiled")
        except VsvfiError:  # no writable cache: torch's own default
            return


RUNTIME = CompileRuntime()
