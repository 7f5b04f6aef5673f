"""Find runtimes by name, choose one for a device, and report which are available."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import vsvfi.engine.runtimes
from vsvfi.engine.placement import AUTO, EAGER, RuntimeChoice
from vsvfi.engine.runtimes.interface import Runtime
from vsvfi.errors import ArgumentError

if TYPE_CHECKING:
    from vsvfi.models.family import Family, Variant


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all runtimes, sorted. Imports none of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(vsvfi.engine.runtimes.__path__) if module.ispkg))


def find(name: str) -> Runtime:
    """The runtime of this name; imports it."""
    return cast(Runtime, importlib.import_module(f"vsvfi.engine.runtimes.{name}.runtime").RUNTIME)


def named(text: str) -> RuntimeChoice:
    """Return the runtime that `runtime=` names, or `AUTO`, without importing anything heavy.

    Raises:
        ArgumentError: there is no such runtime here.
    """
    choice = RuntimeChoice.of(text)
    if choice.name != AUTO.name and choice.name not in names():
        raise ArgumentError("runtime", text, "is not available", f"use {_alternatives()}")
    if choice.name == AUTO.name and choice.provider:
        raise ArgumentError("runtime", text, "names a provider without a runtime", f"use {_alternatives()}")
    return choice


def choose(choice: RuntimeChoice, device: str, family: Family, variant: Variant) -> RuntimeChoice:
    """Return the runtime for one kind of device and one model.

    `AUTO` takes the runtime that is the device's default if it is available and accepts the model, else eager.

    Raises:
        ArgumentError: the named runtime is not available on this device, or cannot run the model.
    """
    if choice == AUTO:
        for name in names():
            runtime = find(name)
            if (
                device in runtime.default_on
                and runtime.obstacle(device) is None
                and runtime.declines(family, variant) is None
            ):
                return RuntimeChoice(name)
        return EAGER
    text, runtime = str(choice), find(choice.name)
    if choice.provider is not None and choice.provider not in runtime.providers:
        known = ", ".join(f"'{choice.name}:{provider}'" for provider in runtime.providers)
        raise ArgumentError("runtime", text, "names an unknown provider", f"use {known or repr(choice.name)}")
    if reason := runtime.obstacle(device, choice.provider):
        raise ArgumentError("runtime", text, f"is not available on {device}: {reason}", "use runtime='auto'")
    if reason := runtime.declines(family, variant):
        raise ArgumentError("runtime", text, f"cannot run {variant.name}: {reason}", "use runtime='auto'")
    return choice


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a runtime can be used on a kind of device, and the reason either way."""

    name: str
    available: bool
    reason: str


def availability(device: str) -> list[Availability]:
    """Report every runtime, and every provider of those that have several, on this kind of device."""
    found = []
    for name in names():
        runtime = find(name)
        for provider in runtime.providers or (None,):
            obstacle = runtime.obstacle(device, provider)
            chosen = RuntimeChoice(name, provider)
            found.append(Availability(str(chosen), obstacle is None, obstacle or runtime.summary))
    return found


def _alternatives() -> str:
    return ", ".join(map(repr, (AUTO.name, *names())))
