"""Compile CUDA kernels with NVRTC and launch them through the CUDA driver, using cuda-bindings.

torch's CUDA wheels for Linux include both. Binaries are cached on disk (`binaries`). Loading a module may synchronise
with the device; a launch neither synchronises nor allocates, so CUDA graphs can capture it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import logging
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType

import numpy as np
import torch

from vsvfi.errors import ArgumentError
from vsvfi.ops.binaries import BinaryCache
from vsvfi.ops.cuda import Argument, Launcher, Size, raw
from vsvfi.user_cache import cache_directory

_log = logging.getLogger(__name__)

_FORMATS: dict[type[np.generic], str] = {np.uint64: "Q", np.int64: "q", np.int32: "i", np.float32: "f"}


class Compiler:
    """NVRTC.

    Args:
        nvrtc: the module `cuda.bindings.nvrtc`.
    """

    def __init__(self, nvrtc: ModuleType) -> None:
        self._nvrtc = nvrtc

    @functools.cached_property
    def version(self) -> str:
        """Version of the compiler, including the patch version if it is installed as a package."""
        major, minor = self._call(self._nvrtc.nvrtcVersion())
        for package in ("nvidia-cuda-nvrtc", f"nvidia-cuda-nvrtc-cu{major}"):
            with suppress(importlib.metadata.PackageNotFoundError):
                return f"{major}.{minor} {importlib.metadata.version(package)}"
        return f"{major}.{minor}"

    def architecture(self, capability: tuple[int, int]) -> str:
        """Return the target architecture for a device of this compute capability.

        Machine code ("sm_86") if the compiler supports the device, or the newest PTX ("compute_86") if it is newer.

        Raises:
            RuntimeError: the device is older than all architectures that the compiler supports.
        """
        wanted = 10 * capability[0] + capability[1]
        (known,) = self._call(self._nvrtc.nvrtcGetSupportedArchs())
        if wanted in known:
            return f"sm_{wanted}"
        older = [number for number in known if number < wanted]
        if not older:
            raise RuntimeError(
                f"NVRTC {self.version} makes no code for compute capability {capability[0]}.{capability[1]}, "
                f"{min(known) / 10} is the oldest"
            )
        return f"compute_{max(older)}"

    def compile(self, source: str, options: Sequence[str], architecture: str) -> bytes:
        """Compile to machine code for architectures like "sm_86", or to PTX for "compute_86".

        Raises:
            RuntimeError: the compiler rejects the source; includes its log.
        """
        nvrtc = self._nvrtc
        (program,) = self._call(nvrtc.nvrtcCreateProgram(source.encode(), b"kernel.cu", 0, None, None))
        try:
            # Flush denormals to zero as CuPy does; atomic additions in memory do so anyway.
            everything = [option.encode() for option in (*options, "-ftz=true", f"--gpu-architecture={architecture}")]
            (result,) = nvrtc.nvrtcCompileProgram(program, len(everything), everything)
            if int(result) != 0:
                (size,) = self._call(nvrtc.nvrtcGetProgramLogSize(program))
                log = bytearray(size)
                self._call(nvrtc.nvrtcGetProgramLog(program, log))
                raise RuntimeError(
                    f"NVRTC {self.version}, {architecture}: {log.decode(errors='replace').rstrip(chr(0))}"
                )
            if architecture.startswith("sm_"):
                (size,), fetch = self._call(nvrtc.nvrtcGetCUBINSize(program)), nvrtc.nvrtcGetCUBIN
            else:
                (size,), fetch = self._call(nvrtc.nvrtcGetPTXSize(program)), nvrtc.nvrtcGetPTX
            binary = bytearray(size)
            self._call(fetch(program, binary))
            return bytes(binary)
        finally:
            nvrtc.nvrtcDestroyProgram(program)

    def _call(self, answer: tuple[object, ...]) -> tuple:  # type: ignore[type-arg]  # whatever the function returns
        result, *values = answer
        if int(result) != 0:  # type: ignore[call-overload]  # an enumeration
            raise RuntimeError(f"NVRTC: {getattr(result, 'name', result)}")
        return tuple(values)


class NvrtcLauncher(Launcher[object, object]):
    """See `vsvfi.ops.cuda.Launcher`.

    Args:
        driver: the module `cuda.bindings.driver`.
        compiler: compiles the kernels.
        cache: stores the binaries.
    """

    def __init__(self, driver: ModuleType, compiler: Compiler, cache: BinaryCache) -> None:
        super().__init__()
        self._driver, self._compiler, self._cache = driver, compiler, cache
        self._contexts: dict[int, object] = {}

    def _load(self, source: str, options: tuple[str, ...], device: int) -> object:
        architecture = self._compiler.architecture(torch.cuda.get_device_capability(device))
        made_from = (source, *options, architecture, self._compiler.version)
        binary = self._cache.get(made_from, lambda: self._compiler.compile(source, options, architecture))
        image = ctypes.create_string_buffer(binary, len(binary))
        with self._context(device):
            (module,) = self._call(self._driver.cuModuleLoadData(ctypes.addressof(image)))
        return module

    def _get(self, module: object, name: str, device: int) -> object:
        with self._context(device):
            (function,) = self._call(self._driver.cuModuleGetFunction(module, name.encode()))
            self._call(self._driver.cuFuncLoad(function))  # not at the first launch, which may be captured
        return function

    def _start(self, function: object, arguments: Sequence[Argument], device: int, grid: Size, block: Size) -> None:
        numbers = [raw(argument) for argument in arguments]
        layout, offsets = _packing(tuple(type(number) for number in numbers))
        packed = ctypes.create_string_buffer(layout.pack(*numbers), layout.size)
        start = ctypes.addressof(packed)
        places = (ctypes.c_void_p * len(offsets))(*(start + offset for offset in offsets))
        stream = torch.cuda.current_stream(torch.device("cuda", device)).cuda_stream
        with self._context(device):
            self._call(self._driver.cuLaunchKernel(function, *grid, *block, 0, stream, ctypes.addressof(places), 0))

    @contextmanager
    def _context(self, device: int) -> Iterator[None]:
        """Make torch's context of the device current on this thread; a new thread has none."""
        driver = self._driver
        context = self._contexts.get(device)
        if context is None:
            (handle,) = self._call(driver.cuDeviceGet(device))
            (context,) = self._call(driver.cuDevicePrimaryCtxRetain(handle))
            self._contexts[device] = context
        (current,) = self._call(driver.cuCtxGetCurrent())
        if int(current) == int(context):  # type: ignore[call-overload]  # handles
            yield
            return
        self._call(driver.cuCtxPushCurrent(context))
        try:
            yield
        finally:
            self._call(driver.cuCtxPopCurrent())

    def _call(self, answer: tuple[object, ...]) -> tuple:  # type: ignore[type-arg]  # whatever the function returns
        result, *values = answer
        if int(result) != 0:  # type: ignore[call-overload]  # an enumeration
            raise RuntimeError(f"CUDA driver: {getattr(result, 'name', result)}")
        return tuple(values)


@functools.cache
def _packing(kinds: tuple[type[np.generic], ...]) -> tuple[struct.Struct, tuple[int, ...]]:
    """Packed layout of arguments of these kinds, and the offset of each."""
    formats = "".join(_FORMATS[kind] for kind in kinds)
    ends = [struct.calcsize(formats[: number + 1]) for number in range(len(kinds))]
    return struct.Struct(formats), tuple(end - struct.calcsize(formats[number]) for number, end in enumerate(ends))


def launcher() -> NvrtcLauncher:
    """The launcher of this process."""
    from cuda.bindings import driver, nvrtc

    try:
        folder = cache_directory() / "kernels"
    except ArgumentError as error:
        _log.info("compiled kernels cannot be stored (%s): each process compiles them anew", error)
        folder = None
    return NvrtcLauncher(driver, Compiler(nvrtc), BinaryCache(folder))
