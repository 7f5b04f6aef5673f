"""Probing optional packages that other programs have left in any state."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from vsvfi import models, packages
from vsvfi.cli import programs
from vsvfi.errors import ModelSpecError, VsvfiError
from vsvfi.media.pyav import pyav
from vsvfi.models import registry
from vsvfi.ops import dispatch


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Raising(ModuleType):
    """A stand-in whose attributes cannot be read."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(f"no {name}")


def stub(name: str) -> ModuleType:
    module = ModuleType(name)
    assert module.__spec__ is None
    return module


def bad_spec(name: str) -> ModuleType:
    module = stub(name)
    module.__spec__ = object()  # type: ignore[assignment]
    return module


STANDINS: list[Callable[[str], ModuleType | None]] = [stub, bad_spec, Raising, lambda name: None]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a CUDA device, so that probing goes beyond it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("VSVFI_OPS", raising=False)
    return


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("standin", STANDINS)
@pytest.mark.parametrize("package", ["cupy", "mamba_ssm", "llvmlite"])
def test_what_stands_in_sys_modules_never_stops_the_backends(
    package: str, standin: Callable[[str], ModuleType | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if standin is Raising:
        dispatch.operators()  # torch, when it registers operators, reads `__file__` of every module itself
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, standin(package))
    state = {backend.name: backend for backend in dispatch.backends()}[package]
    assert not state.available
    assert state.reason.startswith(package)
    assert "\n" not in state.reason


@pytest.mark.parametrize("standin", STANDINS)
def test_what_stands_for_vapoursynth_or_imageio_never_stops_the_search_for_programs(
    standin: Callable[[str], ModuleType | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(programs.shutil, "which", lambda name: str(tmp_path / name))
    monkeypatch.setitem(sys.modules, "vapoursynth", standin("vapoursynth"))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", standin("imageio_ffmpeg"))
    assert programs.find_vspipe().endswith("vspipe")
    assert programs.find_ffmpeg() == str(tmp_path / "ffmpeg")
    assert list(programs._ffmpegs()) == [str(tmp_path / "ffmpeg")]


@pytest.mark.parametrize(
    "error",
    [
        "OSError('libx.so: cannot open\\nmore')",
        "RuntimeError('driver')",
        "AttributeError('no x')",
        "ImportError('no y')",
        "KeyError()",
    ],
)
def test_a_package_that_breaks_while_it_is_imported_has_a_reason(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_package").mkdir()
    (tmp_path / "broken_package" / "__init__.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert packages.is_installed("broken_package")
    assert not packages.is_installed("broken_package.part")  # its parent is imported first, and raises
    reason = packages.load("broken_package")
    assert isinstance(reason, str)
    assert reason.startswith(error.partition("(")[0])
    assert "\n" not in reason


def test_a_pyav_that_does_not_load_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "av.py").write_text("raise RuntimeError('libav.so: wrong version\\nmore')")
    monkeypatch.delitem(sys.modules, "av", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.raises(
        VsvfiError, match=r"cannot be imported \(RuntimeError: libav.so: wrong version\); pip install av"
    ):
        pyav()


def test_a_family_whose_package_breaks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "broken_family"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise OSError('libx.so: cannot open')")
    (folder / "spec.py").touch()
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    with pytest.raises(ModelSpecError, match=r"models.broken_family.spec: cannot be read \(OSError: libx.so"):
        registry.families()


def test_names_that_are_nothing() -> None:
    for name in ("no_such_package_at_all", "no.such.package", "", ".", "a b"):
        assert packages.find_package(name) is None
        assert not packages.is_installed(name)
        assert isinstance(packages.load(name), str)


def test_what_is_there_is_found() -> None:
    assert packages.is_installed("numpy")
    assert packages.load("json") is sys.modules["json"]


def test_an_error_without_a_text_still_has_a_line() -> None:
    assert packages.one_line(UnprintableError()) == "UnprintableError"
    assert packages.one_line(OSError("one\ntwo")) == "OSError: one"
