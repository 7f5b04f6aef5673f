"""Find runtimes by name, choose one for a device, and report which are available."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import vsvfi.engine.runtimes
from vsvfi.engine.runtimes.interface import EAGER, Runtime, RuntimeChoice
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


def check_name(text: str) -> None:
    """Check the name in a parsed `runtime=` without importing anything heavy.

    Raises:
        ArgumentError: there is no such runtime here.
    """
    choice = RuntimeChoice.of(text)
    if choice.name != "auto" and choice.name not in names():
        raise ArgumentError("runtime", text, "is not available", f"use {_alternatives()}")
    if choice.name == "auto" and choice.provider:
        raise ArgumentError("runtime", text, "names a provider without a runtime", f"use {_alternatives()}")


def choose(text: str, device: str, family: Family, variant: Variant) -> RuntimeChoice:
    """Resolve a parsed `runtime=` for one kind of device and one model.

    "auto" takes the runtime that is the device's default if it is available and accepts the model, else eager.

    Raises:
        ArgumentError: the named runtime is not available on this device, or cannot run the model.
    """
    check_name(text)
    choice = RuntimeChoice.of(text)
    if choice.name == "auto":
        for name in names():
            runtime = find(name) if device in _default_on(name) else None
            if runtime and runtime.obstacle(device) is None and runtime.declines(family, variant) is None:
                return RuntimeChoice(name)
        return EAGER
    runtime = find(choice.name)
    if choice.provider is not None and choice.provider not in runtime.providers:
        known = ", ".join(f"'{choice.name}:{provider}'" for provider in runtime.providers)
        raise ArgumentError("runtime", text, "names an unknown provider", f"use {known or repr(choice.name)}")
    if reason := runtime.obstacle(device, choice.provider):
        raise ArgumentError("runtime", text, f"is not available on {device}: {reason}", "use runtime='auto'")
    if reason := runtime.declines(family, variant):
        raise ArgumentError("runtime", text, f"cannot run {variant.name}: {reason}", "use runtime='auto'")
    return choice


def _default_on(name: str) -> frozenset[str]:
    return find(name).default_on


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
    return ", ".join(map(repr, ("auto", *names())))
