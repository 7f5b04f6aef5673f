"""Dispatch operator calls to tested kernels, and register operators with torch.

An operator is a folder `vsvfi/ops/NAME` with a module `op` that creates one or more `Operator` objects; there is no
other registry. A call uses the first kernel for its device that can run here, passes its self-test and does not decline
the call; else the reference. Every fallback is logged once. Imports torch on first use.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
import pkgutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import vsvfi.ops
from vsvfi.errors import ArgumentError
from vsvfi.ops import probe
from vsvfi.ops.probe import Backend, forced
from vsvfi.packages import one_line

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch._ops import OpOverload

_log = logging.getLogger(__name__)

type Shape = Sequence[int]
"""What `Operator.multiply_adds` gets in place of a tensor."""

BILINEAR = 4
"""Multiply-adds of a sample between pixels, for each channel."""

type Tree = Tensor | int | float | bool | Sequence[Tensor] | None
"""An argument of an operator."""


@dataclass(frozen=True, slots=True)
class Kernel[**P, R]:
    """An implementation of an operator for one kind of device.

    Attributes:
        backend: the backend it needs; a name in `vsvfi.ops.probe.DEVICES`.
        run: has the same arguments and result as the reference.
        declines: returns why the kernel cannot compute a call, or None; without it the kernel accepts every call.
    """

    backend: str
    run: Callable[P, R]
    declines: Callable[P, str | None] | None = None


class Operator[**P, R]:
    """An operator: its definition, its kernels, and the inputs of their self-test.

    The self-test compares a kernel with the reference on each sample input.

    Args:
        name: of the torch operator `vsvfi::NAME`; the folder's name if it is the only operator there.
        reference: the definition, in plain torch, for any device.
        kernels: best first.
        sample_inputs: small arguments on the CPU, including edge cases.
        multiply_adds: returns those of a call, for its arguments with shapes in place of tensors; see `vsvfi bench`.
        tolerance: of the self-test, relative to the largest value.
    """

    def __init__(
        self,
        name: str,
        *,
        reference: Callable[P, R],
        kernels: Sequence[Kernel[P, R]],
        sample_inputs: Callable[[], Iterable[tuple[Tree, ...]]],
        multiply_adds: Callable[..., int],
        tolerance: float = 1e-4,
    ) -> None:
        self.name, self.reference, self.kernels, self.sample_inputs = name, reference, tuple(kernels), sample_inputs
        self.multiply_adds = multiply_adds
        self._tolerance = tolerance
        self._tested: dict[str, str | None] = {}
        self._first: dict[tuple[str, str | None], Kernel[P, R]] = {}
        self._logged: set[str] = set()
        self._lock = threading.RLock()
        _OPERATORS[name] = cast("Operator[..., object]", self)

    def run(self, device: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute the operator on this kind of device.

        Raises:
            ArgumentError: VSVFI_OPS names no backend, or one that has a kernel for this device and cannot run here.
        """
        if _has_empty(args):
            return self.reference(*args, **kwargs)
        key = device, os.environ.get("VSVFI_OPS")
        first = self._first.get(key)  # the search below would take longer than a small call
        if first is not None and (first.declines is None or first.declines(*args, **kwargs) is None):
            return first.run(*args, **kwargs)
        for kernel in self.usable(device):
            self._first.setdefault(key, kernel)
            reason = kernel.declines(*args, **kwargs) if kernel.declines is not None else None
            if reason is None:
                return kernel.run(*args, **kwargs)
            self._warn(
                f"{self.name}: {kernel.backend} cannot compute {reason}, "
                "another kernel or the slower reference runs instead"
            )
        return self.reference(*args, **kwargs)

    def choice(self, device: str) -> Backend:
        """The backend of calls that no kernel declines.

        Raises:
            ArgumentError: as in `run`.
        """
        for kernel in self.usable(device):
            return Backend(kernel.backend, True, "ready")
        kernels = self._kernels_for(device)
        return Backend("reference", True, self._reasons(kernels) if kernels else f"there is no kernel for {device}")

    def self_test(self, backend: str) -> str | None:
        """Why this operator's kernel of a backend fails on the sample inputs, or None; computed once."""
        with self._lock:
            if backend not in self._tested:
                (kernel,) = (kernel for kernel in self.kernels if kernel.backend == backend)
                self._tested[backend] = self._failure(kernel)
            return self._tested[backend]

    def forget(self) -> None:
        """Reset self-test results and logged messages, for tests."""
        self._tested.clear()
        self._first.clear()
        self._logged.clear()

    def usable(self, device: str) -> Iterator[Kernel[P, R]]:
        """Yield the kernels that can run on this kind of device, best first; each is probed and tested on demand.

        Raises:
            ArgumentError: as in `run`.
        """
        kernels, only, some = self._kernels_for(device), forced(), False
        kernels = [kernel for kernel in kernels if only in (None, kernel.backend)]
        for kernel in kernels:
            if self._obstacle(kernel) is None:
                some = True
                yield kernel
        if some or not kernels:
            return
        if only is not None:
            raise ArgumentError("VSVFI_OPS", only, f"cannot run here: {self._obstacle(kernels[0])}", "unset it")
        place = "CPU" if device == "cpu" else "GPU"
        self._warn(
            f"{self.name}: no kernel for this {place} can be used, the slower reference runs instead "
            f"({self._reasons(kernels)})"
        )

    def _kernels_for(self, device: str) -> list[Kernel[P, R]]:
        return [kernel for kernel in self.kernels if probe.DEVICES[kernel.backend] == device]

    def _reasons(self, kernels: Sequence[Kernel[P, R]]) -> str:
        return "; ".join(f"{kernel.backend}: {self._obstacle(kernel)}" for kernel in kernels)

    def _obstacle(self, kernel: Kernel[P, R]) -> str | None:
        """Why a kernel cannot be used here, or None."""
        return probe.remembered_obstacle(kernel.backend) or self.self_test(kernel.backend)

    def _failure(self, kernel: Kernel[P, R]) -> str | None:
        """Run the self-test of a kernel; return why it fails, or None."""
        import torch

        device = torch.device(str(probe.DEVICES[kernel.backend]))
        # The caller's autocast would round
        with (
            torch.inference_mode(),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            for sample in self.sample_inputs():
                expected = _tensors(self.reference(*sample))  # type: ignore[call-arg, arg-type]  # of the operator's own arguments
                try:
                    moved = [_moved(value, device) for value in sample]
                    returned = kernel.run(*moved)  # type: ignore[call-arg, arg-type]
                    found = [tensor.cpu() for tensor in _tensors(returned)]
                # Unsupported CPUs, GPUs and drivers raise errors of many types.
                except Exception as error:
                    return f"{self.name} fails here ({one_line(error)})"
                for one, other in zip(found, expected, strict=True):
                    if one.shape != other.shape or not float((one - other).abs().max()) <= self._tolerance * float(
                        other.abs().max()
                    ):
                        return f"{self.name} does not compute its definition here"
        return None

    def _warn(self, message: str) -> None:
        """Log once."""
        with self._lock:
            new = message not in self._logged
            self._logged.add(message)
        if new:
            _log.warning(message)


_OPERATORS: dict[str, Operator[..., object]] = {}


def operators() -> list[Operator[..., object]]:
    """All operators of the package, sorted by name. Imports their folders, and torch."""
    for module in pkgutil.iter_modules(vsvfi.ops.__path__, "vsvfi.ops."):
        # Looked for without importing the folder, which may need a package that is broken here.
        spec = importlib.util.find_spec(module.name) if module.ispkg else None
        folders = None if spec is None else spec.submodule_search_locations
        if folders and any(part.name == "op" for part in pkgutil.iter_modules(folders)):
            importlib.import_module(f"{module.name}.op")
    return [_OPERATORS[name] for name in sorted(_OPERATORS)]


def backends() -> list[Backend]:
    """Report the state of every backend on this machine, with all kernels self-tested.

    Imports torch, and CuPy and mamba_ssm if they are installed.

    Raises:
        ArgumentError: VSVFI_OPS names no backend.
    """
    only = forced()
    return [
        Backend(name, False, f"VSVFI_OPS={only}") if only not in (None, name) else _state(name)
        for name in probe.DEVICES
    ]


def _state(name: str) -> Backend:
    """Report whether a backend works on this machine."""
    if name == "reference":
        return Backend(name, True, "plain torch, runs anywhere")
    obstacle = probe.obstacle(name)
    if obstacle is not None:
        return Backend(name, False, obstacle)
    tested = [
        operator.self_test(name)
        for operator in operators()
        if any(kernel.backend == name for kernel in operator.kernels)
    ]
    failures = [failure for failure in tested if failure is not None]
    return Backend(name, len(failures) < len(tested), "; ".join(failures) or "ready")


def register[**P, R](
    operator: Operator[P, R],
    fake: Callable[P, R],
    *,
    setup_context: Callable[..., None] | None = None,
    backward: Callable[..., object] | None = None,
) -> OpOverload:
    """Register `vsvfi::NAME` as a torch operator that works with `torch.compile` and `torch.export`.

    The schema is that of the reference. Uses `torch.library.Library` rather than `custom_op`, whose call overhead is
    larger: networks call operators about a hundred times per frame.

    Args:
        operator: the implementation.
        fake: returns an empty result with the right shape, strides and type from the same arguments.
        setup_context: saves tensors for the backward pass; see `torch.library.register_autograd`.
        backward: computes the gradients, for differentiable operators.
    """
    import torch

    library, name = _library(), f"vsvfi::{operator.name}"
    library.define(operator.name + torch.library.infer_schema(operator.reference, mutates_args=()))
    library.impl(operator.name, operator.reference, "CompositeExplicitAutograd")  # any other device
    for device, key in (("cpu", "CPU"), ("cuda", "CUDA")):
        library.impl(operator.name, functools.partial(operator.run, device), key)
    torch.library.register_fake(name, fake, lib=cast("torch.library.Library", library))
    if backward is not None:
        torch.library.register_autograd(
            name, backward, setup_context=setup_context, lib=cast("torch.library.Library", library)
        )
    return cast("OpOverload", getattr(torch.ops.vsvfi, operator.name).default)


class _Library(Protocol):
    """The parts of `torch.library.Library` used here, with types."""

    def define(self, schema: str) -> str: ...
    def impl(self, name: str, function: Callable[..., object], key: str) -> None: ...


@functools.cache
def _library() -> _Library:
    """The library of the `vsvfi` operators; registrations last as long as it is referenced."""
    import torch

    return cast("_Library", torch.library.Library("vsvfi", "FRAGMENT"))  # type: ignore[no-untyped-call]


def _has_empty(arguments: Iterable[object]) -> bool:
    """Whether any tensor is empty; the reference computes such calls."""
    for value in arguments:
        if isinstance(value, (list, tuple)):  # a union type would be created for every call
            if _has_empty(value):
                return True
        elif hasattr(value, "numel") and value.numel() == 0:
            return True
    return False


def _moved(value: Tree, device: torch.device) -> Tree:
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(device)
    return [part.to(device) for part in value] if isinstance(value, list | tuple) else value


def _tensors(result: object) -> list[Tensor]:
    """The tensors of a result, in order."""
    import torch

    return (
        [result]
        if isinstance(result, torch.Tensor)
        else [tensor for part in cast("Sequence[object]", result) for tensor in _tensors(part)]
    )
