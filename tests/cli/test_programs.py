"""Finding vspipe, and an ffmpeg that has the encoder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vsvfi.cli import programs
from vsvfi.errors import VsvfiError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="stands in for programs with shell scripts")


def stand_in(folder: Path, *names: str) -> str:
    """An ffmpeg that has these encoders and can do nothing else."""
    folder.mkdir(exist_ok=True)
    program = folder / "ffmpeg"
    rows = "\n".join(f" V....D {name}  {name} encoder" for name in names)
    program.write_text(f"#!/bin/sh\ncat <<'END'\nEncoders:\n ------\n{rows}\nEND\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)


def with_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: str(folder / name) if (folder / name).exists() else None)


def test_vspipe_is_that_of_this_environment() -> None:
    assert Path(programs.find_vspipe()).parent.name == "vapoursynth"
    done = subprocess.run(
        [programs.find_vspipe(), "--version"],
        env=programs.vspipe_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "VapourSynth" in done.stdout


@pytest.mark.parametrize(
    ("name", "ours", "theirs"), [("OMP_WAIT_POLICY", "PASSIVE", "ACTIVE"), ("MALLOC_ARENA_MAX", "1", "4")]
)
def test_vspipe_is_told_how_to_wait_and_to_keep_memory(
    monkeypatch: pytest.MonkeyPatch, name: str, ours: str, theirs: str
) -> None:
    monkeypatch.delenv(name, raising=False)
    assert programs.vspipe_environment()[name] == ours
    monkeypatch.setenv(name, theirs)
    assert programs.vspipe_environment()[name] == theirs


def test_vspipe_elsewhere_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with_path(monkeypatch, tmp_path)
    with pytest.raises(VsvfiError, match="vspipe was not found; install VapourSynth"):
        programs.find_vspipe()
    (tmp_path / "vspipe").touch()
    monkeypatch.setattr(shutil, "which", lambda name: "/elsewhere/vspipe")
    assert programs.find_vspipe() == str(tmp_path / "vspipe")
    (tmp_path / "vspipe").unlink()
    assert programs.find_vspipe() == "/elsewhere/vspipe"


def test_libx264_stands_in_for_libx265(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_wheel: None) -> None:
    program = stand_in(tmp_path, "libx264", "ffv1")
    with_path(monkeypatch, tmp_path)
    found = programs.find_encoder("libx265")
    assert (found.ffmpeg, found.name) == (program, "libx264")
    assert found.note == f"ffmpeg at {program} lacks libx265; using libx264 instead"
    assert programs.find_encoder("ffv1").note == ""


def test_an_encoder_that_no_ffmpeg_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_wheel: None) -> None:
    stand_in(tmp_path, "libx264")
    with_path(monkeypatch, tmp_path)
    with pytest.raises(VsvfiError, match="has no encoder 'libsvtav1'; choose one"):
        programs.find_encoder("libsvtav1")


def test_the_wheel_is_asked_where_path_falls_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    stand_in(tmp_path, "ffv1")
    fuller = stand_in(tmp_path / "wheel", "libx265")
    with_path(monkeypatch, tmp_path)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: fuller)
    assert programs.find_encoder("libx265").ffmpeg == fuller


def test_an_ffmpeg_that_is_killed_while_it_lists_its_encoders_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise another ffmpeg would encode this chunk, which may not fit to those of the first."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    program = Path(stand_in(tmp_path, "ffv1"))
    with_path(monkeypatch, tmp_path)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: stand_in(tmp_path / "wheel", "ffv1"))
    script = program.read_text()
    once = "#!/bin/sh\nmkdir $0.killed 2>/dev/null && kill -9 $$\n"
    program.write_text(script.replace("#!/bin/sh\n", once))
    assert programs.find_encoder("ffv1").ffmpeg == str(program)
    assert (tmp_path / "ffmpeg.killed").exists()
    programs._listed.cache_clear()
    program.write_text(script.replace("#!/bin/sh\n", "#!/bin/sh\nkill -9 $$\n"))
    with pytest.raises(VsvfiError, match=r"ffmpeg was killed by another program; run the same command again"):
        programs.find_encoder("ffv1")


def test_no_ffmpeg_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_wheel: None) -> None:
    with_path(monkeypatch, tmp_path)
    for find in (programs.find_ffmpeg, lambda: programs.find_encoder("libx265")):
        with pytest.raises(VsvfiError, match="ffmpeg was not found; install it"):
            find()


def test_an_ffmpeg_that_does_not_run_has_no_encoders(tmp_path: Path) -> None:
    assert programs.encoders(str(tmp_path / "absent")) == frozenset()
