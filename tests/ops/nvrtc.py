"""Compile kernel files without a device: NVRTC from torch's CUDA packages, else nvcc."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


class CompileError(Exception):
    """The compiler refused a kernel; holds its message."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return NVRTC, or None if torch brings none."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    for path in sorted(
        path
        for folder in folders
        for pattern in ("*/lib/libnvrtc.so.*", "*/bin/**/nvrtc64*.dll")
        for path in folder.glob(pattern)
    ):
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    return None


def nvcc() -> str | None:
    """The command-line compiler, or None."""
    return shutil.which("nvcc")


def compile_with_nvrtc(source: str, options: Sequence[str], architecture: str) -> bytes:
    """Machine code for an architecture such as "sm_86".

    Raises:
        CompileError: the compiler refused it.
    """
    nvrtc = library()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None) == 0
    try:
        everything = [option.encode() for option in (*options, f"--gpu-architecture={architecture}")]
        result = nvrtc.nvrtcCompileProgram(program, len(everything), (ctypes.c_char_p * len(everything))(*everything))
        if result != 0:
            raise CompileError(
                _read(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program).decode().rstrip("\0")
            )
        return _read(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _read(measure: ctypes._NamedFuncPointer, fetch: ctypes._NamedFuncPointer, program: ctypes.c_void_p) -> bytes:
    """Read a result of NVRTC in two steps, size and content."""
    size = ctypes.c_size_t()
    assert measure(program, ctypes.byref(size)) == 0
    content = ctypes.create_string_buffer(size.value)
    assert fetch(program, content) == 0
    return content.raw


def compile_with_nvcc(source: str, options: Sequence[str], architecture: str) -> bytes:
    """The same through nvcc.

    Raises:
        CompileError: the compiler refused it.
    """
    program = nvcc()
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        text, code = Path(folder) / "kernel.cu", Path(folder) / "kernel.cubin"
        text.write_text(source, encoding="utf-8")
        command = [program, "--cubin", f"-arch={architecture}", *options, "-o", str(code), str(text)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise CompileError(done.stdout + done.stderr)
        return code.read_bytes()
