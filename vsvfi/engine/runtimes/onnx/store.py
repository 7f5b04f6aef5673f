"""Keep exported graphs and compiled engines in the user's cache, by what they depend on."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import weakref
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from vsvfi import user_cache
from vsvfi.files import replace
from vsvfi.models.interpolator import Interpolator

_MOST_BYTES = 4 << 30
"""Of graphs and engines; the least recently used ones are removed above it."""

_digests: weakref.WeakKeyDictionary[Interpolator[Any, Any], str] = weakref.WeakKeyDictionary()


def digest(*parts: object) -> str:
    """Return a short hash of these values' texts and of the versions of everything that writes graphs."""
    text = "\n".join(map(repr, (*parts, _code(), _versions())))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def weights_digest(network: Interpolator[Any, Any]) -> str:
    """Return a hash of a network's weights, computed once."""
    found = _digests.get(network)
    if found is None:
        state = hashlib.sha256()
        for name, tensor in sorted(network.state_dict().items()):
            state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            state.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        found = _digests[network] = state.hexdigest()
    return found


def graph(key: str, write: Callable[[], bytes]) -> Path:
    """Return the file of a graph; it is made if there is none."""
    path = folder() / f"{key}.onnx"
    if path.is_file():
        with contextlib.suppress(OSError):  # a read-only cache
            os.utime(path)
        return path
    content = write()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        part.write_bytes(content)
        replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    _make_room(path)
    return path


def folder() -> Path:
    """The folder of everything here."""
    return user_cache.cache_directory() / "onnx"


def _make_room(new: Path) -> None:
    """Remove the least recently used graphs and engines beyond the limit."""
    files = []
    for path in folder().rglob("*"):
        with contextlib.suppress(OSError):  # another process removes it
            facts = path.stat()
            if path.is_file() and path != new:
                files.append((facts.st_mtime, facts.st_size, path))
    size = new.stat().st_size + sum(size for _, size, _ in files)
    for _, bytes_freed, path in sorted(files):
        if size <= _MOST_BYTES:
            return
        with contextlib.suppress(OSError):  # open in another process, on Windows
            path.unlink()
            size -= bytes_freed


@functools.cache
def _code() -> str:
    """A hash of the code that networks and graphs are made by: the version is the same for many changes of it."""
    root = Path(user_cache.__file__).parent
    state = hashlib.sha256()
    for path in _sources(root / part for part in ("models", "ops", "engine/onnx")):
        state.update(path.read_bytes())
    return state.hexdigest()


def _sources(folders: Iterable[Path]) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@functools.cache
def _versions() -> tuple[str, ...]:
    found = []
    for name in ("vsvfi", "torch", "onnx", "onnxscript"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(metadata.version(name))
    return tuple(found)
