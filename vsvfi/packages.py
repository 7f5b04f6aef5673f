"""Probe optional packages. Nothing here raises, whatever state another program has left a package in."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
from types import ModuleType


def find_package(name: str) -> importlib.machinery.ModuleSpec | None:
    """The spec of a module that can be imported, or None.

    `importlib.util.find_spec` raises ValueError where `sys.modules` holds a stub without a spec, and imports parent
    packages, which may raise anything.
    """
    try:
        spec = importlib.util.find_spec(name)
    except Exception:
        return None
    return spec if isinstance(spec, importlib.machinery.ModuleSpec) else None


def is_installed(name: str) -> bool:
    """Whether a module can be found; a stand-in without a spec in `sys.modules` does not count."""
    return find_package(name) is not None


def load(name: str) -> ModuleType | str:
    """Import a module. Where that fails, return the reason in one line instead: "OSError: libcudart.so: cannot
    open"."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # packages with native code fail in their own ways: missing libraries, symbols, drivers
        return one_line(error)


def one_line(error: Exception) -> str:
    """An exception in one line; also of one whose text cannot be made."""
    try:
        text = str(error).strip()
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
