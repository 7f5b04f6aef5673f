"""A weight file out of a wheel, through the real pip and an index that is a folder of this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from vsvfi.errors import DamagedWeightsError, DownloadError, MissingWeightsError
from vsvfi.weights import fetch, wheel
from vsvfi.weights.download import SourceError
from vsvfi.weights.source import WheelMember

CONTENT = save({"weight": np.arange(30_000, dtype=np.float32)})


def make_wheel(folder: Path, content: bytes = CONTENT, member: str = "toynet/weights.bin") -> WheelMember:
    """A wheel of a package that would complain if it was run, and how it is published."""
    folder.mkdir(exist_ok=True)
    path = folder / "toynet-1.0-py3-none-any.whl"
    about = "toynet-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("toynet/__init__.py", "raise RuntimeError('this was imported')")
        archive.writestr(member, content)
        archive.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: toynet\nVersion: 1.0\nRequires-Dist: no-such-package-anywhere\n",
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    whole = path.read_bytes()
    return WheelMember(
        package="toynet",
        version="1.0",
        member="toynet/weights.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        wheel_sha256=hashlib.sha256(whole).hexdigest(),
        wheel_size=len(whole),
    )


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the user's pip is set up for."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def get(source: WheelMember) -> Path:
    return fetch.fetch("toy", [source], licence="MIT")


def fail(source: WheelMember, cache: Path) -> str:
    """The message of a fetch that cannot succeed; nothing may be left of it."""
    with pytest.raises(DownloadError) as caught:
        get(source)
    assert fetch.installed([source]) is None
    assert [path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    return str(caught.value)


def test_the_member_arrives_once_and_nothing_is_installed(
    index: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make_wheel(index)
    assert fetch.installed([source]) is None
    path = get(source)
    assert path.read_bytes() == CONTENT
    assert path == cache / "wheels" / "toynet-1.0" / "toynet" / "weights.bin" == fetch.installed([source])
    (index / "toynet-1.0-py3-none-any.whl").unlink()
    assert get(source) == path
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "downloading the weights of 'toy' from wheel:toynet==1.0/toynet/weights.bin; licence: MIT\n" in shown.err
    assert sorted(found.name for found in path.parent.iterdir()) == [
        "weights.bin",
        "weights.bin.json",
        "weights.bin.lock",
    ]


def test_a_file_altered_afterwards_is_refused(index: Path) -> None:
    source = make_wheel(index)
    path = get(source)
    path.write_bytes(CONTENT[:-1] + b"\x01")
    with pytest.raises(DamagedWeightsError, match="has changed since it was verified"):
        get(source)


def test_another_wheel_is_not_taken(index: Path, cache: Path) -> None:
    source = make_wheel(index)
    message = fail(replace(source, wheel_sha256="0" * 64), cache)
    assert "wheel:toynet==1.0/toynet/weights.bin: pip could not download toynet==1.0: " in message
    assert "hash" in message.lower()


def test_a_version_that_the_index_lacks(index: Path, cache: Path) -> None:
    message = fail(replace(make_wheel(index), version="2.0"), cache)
    assert "pip could not download toynet==2.0: No matching distribution found for toynet==2.0" in message


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"sha256": "0" * 64}, "the SHA-256 of toynet/weights.bin is "),
        (
            {"size": len(CONTENT) + 1},
            f"toynet/weights.bin has {len(CONTENT)} bytes, the published file has {len(CONTENT) + 1}",
        ),
        ({"size": len(CONTENT) - 1}, f"toynet/weights.bin has more bytes, the published file has {len(CONTENT) - 1}"),
        ({"member": "toynet/missing.bin"}, "toynet-1.0-py3-none-any.whl holds no toynet/missing.bin"),
    ],
)
def test_a_member_that_is_not_the_published_one(
    index: Path, cache: Path, changed: dict[str, object], fault: str
) -> None:
    assert fault in fail(replace(make_wheel(index), **changed), cache)  # type: ignore[arg-type]


def test_a_member_that_unpacks_to_much_more_is_not_unpacked(index: Path, cache: Path) -> None:
    source = make_wheel(index, content=bytes(50_000_000))
    assert "has more bytes, the published file has" in fail(source, cache)


def test_a_broken_archive(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_wheel(index)
    path = index / "toynet-1.0-py3-none-any.whl"
    path.write_bytes(b"PK" + path.read_bytes()[2:-30])

    def brought(source: WheelMember, folder: Path) -> Path:
        return path

    monkeypatch.setattr(wheel, "_download", brought)
    assert "toynet-1.0-py3-none-any.whl cannot be read (" in fail(source, cache)


def test_pip_may_not_fill_the_disk(tmp_path: Path) -> None:
    endless = "import sys, time\nwith open(sys.argv[1], 'wb', 0) as f:\n"
    endless += " while True:\n  f.write(bytes(1 << 20)); time.sleep(0.005)"
    with pytest.raises(SourceError, match="pip was stopped after more than 3 MB, which the published wheel has not"):
        wheel.run_limited([sys.executable, "-c", endless, str(tmp_path / "big")], tmp_path, 3_000_000)
    size = (tmp_path / "big").stat().st_size
    assert size == (tmp_path / "big").stat().st_size < 1_000_000_000


def test_pip_that_brings_nothing(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "_pip", lambda: [sys.executable, "-c", "pass"])
    assert "pip brought 0 wheels of toynet==1.0, must be one" in fail(make_wheel(index), cache)
    monkeypatch.setattr(wheel, "_pip", lambda: [sys.executable, "-c", "raise SystemExit(3)"])
    assert "pip could not download toynet==1.0: it printed nothing" in fail(make_wheel(index), cache)


def test_no_pip_at_all(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(wheel.shutil, "which", lambda name: None)
    message = fail(make_wheel(index), cache)
    assert "there is no pip here to download that with (run 'python -m ensurepip')" in message
    assert "pass weights=PATH" in message


def test_a_pip_on_the_path_serves_where_this_python_has_none(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(wheel.shutil, "which", lambda name: "/somewhere/pip3" if name == "pip3" else None)
    assert wheel._pip() == ["/somewhere/pip3"]


def test_inside_a_program_that_embeds_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/vspipe")
    command = wheel._pip()
    assert Path(command[0]).name.startswith("python")
    assert command[1:] == ["-m", "pip"]


@pytest.mark.parametrize("variable", ["VSVFI_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_nothing_is_asked(index: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(MissingWeightsError, match=f"downloads are off \\({variable}=1\\)"):
        get(make_wheel(index))


def test_a_folder_that_cannot_be_written(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_wheel(index)
    cache.parent.joinpath("cache").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot be written"):
        get(source)

    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    cache.unlink()
    monkeypatch.setattr(wheel.tempfile, "TemporaryDirectory", full)
    with pytest.raises(DownloadError, match="no space is left"):
        get(source)
