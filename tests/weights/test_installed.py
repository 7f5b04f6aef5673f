"""Installed weights: verified once and after every change of the file, and where they are stored."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from tests.fake_hub import FakeHub
from vsvfi.errors import DamagedWeightsError, MissingWeightsError
from vsvfi.weights import fetch
from vsvfi.weights.source import Builtin, Source, Url

CONTENT = save({"weight": np.arange(30_000, dtype=np.float32)})
OTHER = save({"weight": np.ones(30_000, dtype=np.float32)})
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def get(*sources: Source) -> Path:
    return fetch.fetch("toy", sources, licence="MIT")


def test_a_file_that_arrived_while_we_waited_is_verified(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT), sha256=SHA256)
    target = fetch._place(source)
    target.parent.mkdir(parents=True)
    target.write_bytes(OTHER)
    monkeypatch.setattr(fetch, "_find", lambda source: None)
    with pytest.raises(DamagedWeightsError, match="SHA-256"):
        get(source)
    assert hub.asked() == []


@pytest.mark.parametrize("kind", ["flipped", "shorter", "flipped, times restored"])
@pytest.mark.parametrize("pinned", [True, False])
def test_a_file_altered_after_its_installation_is_refused(hub: FakeHub, kind: str, pinned: bool) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT), sha256=SHA256 if pinned else None)
    path = get(source)
    status = path.stat()
    path.write_bytes(CONTENT[:-4] if kind == "shorter" else CONTENT[:-1] + b"\x01")
    if "restored" in kind:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DamagedWeightsError, match="has changed since it was verified") as caught:
        get(source)
    assert repr(str(path)) in str(caught.value)
    path.unlink()
    assert get(source).read_bytes() == CONTENT


def test_only_a_touched_file_is_hashed_again(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT))
    path = get(source)
    hashed: list[Path] = []
    monkeypatch.setattr(fetch, "digests", lambda path, true=fetch.digests: (hashed.append(path), true(path))[1])
    assert get(source) == path
    assert hashed == []
    os.utime(path)
    assert get(source) == get(source) == path
    assert hashed == [path]


def test_a_pin_that_comes_later_is_held_against_the_record(hub: FakeHub) -> None:
    url = hub.add("/toy.pth", OTHER)
    get(Url(url=url))
    with pytest.raises(DamagedWeightsError, match="that of the published file"):
        get(Url(url=url, sha256=SHA256))


@pytest.mark.parametrize("content", [CONTENT, b"<html>"])
@pytest.mark.parametrize("record", [None, "", "{}", "[1]"])
def test_a_file_without_a_readable_record_is_verified_anew(hub: FakeHub, record: str | None, content: bytes) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT))
    path = get(source)
    place = path.with_name("toy.pth.json")
    place.unlink()
    if record is not None:
        place.write_text(record)
    if content is CONTENT:
        assert get(source) == path
        assert json.loads(place.read_text())["sha256"] == SHA256
    else:
        path.write_bytes(content)
        with pytest.raises(DamagedWeightsError, match="web page"):
            get(source)


def test_without_a_record_it_still_works(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT))
    fetch._record_place(fetch._place(source)).mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        assert get(source) == get(source)
    assert "will be hashed again at each start" in caplog.text
    assert len(hub.asked()) == 1


def test_a_file_that_cannot_be_read_is_named(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT))
    path = get(source)
    os.utime(path)

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(fetch, "digests", refuse)
    with pytest.raises(DamagedWeightsError, match=r"toy\.pth', it cannot be read \(Permission denied\)"):
        get(source)


def test_the_packaged_file_is_verified_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.importlib.resources, "files", lambda package: tmp_path)
    source, wrong = Builtin(file="toy.safetensors", sha256=SHA256), Builtin(file="toy.safetensors", sha256="0" * 64)
    with pytest.raises(MissingWeightsError, match=r"lacks toy\.safetensors"):
        get(source)
    path = tmp_path / "builtin" / "toy.safetensors"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    verified: list[Path] = []
    monkeypatch.setattr(
        fetch, "verify", lambda path, true=fetch.verify, **pins: (verified.append(path), true(path, **pins))[1]
    )
    assert get(source) == get(source) == fetch.installed([source]) == path
    assert verified == [path]
    with pytest.raises(DamagedWeightsError, match="SHA-256"):
        get(wrong)


def test_a_missing_packaged_file_is_replaced_by_its_mirror(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.importlib.resources, "files", lambda package: tmp_path)
    assert (
        get(Builtin(file="toy.safetensors", sha256=SHA256), Url(url=hub.add("/toy.pth", CONTENT))).read_bytes()
        == CONTENT
    )


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/vsvfi"),
        ("linux", {"XDG_CACHE_HOME": "{}/xdg"}, "xdg/vsvfi"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/vsvfi"),
        ("darwin", {}, "home/Library/Caches/vsvfi"),
        ("win32", {"LOCALAPPDATA": "{}/local"}, "local/vsvfi/Cache"),
        ("win32", {}, "home/AppData/Local/vsvfi/Cache"),
        ("linux", {"VSVFI_CACHE": "{}/own", "XDG_CACHE_HOME": "{}/xdg"}, "own"),
        ("win32", {"VSVFI_CACHE": "~/own"}, "home/own"),
    ],
)
def test_the_cache_follows_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("VSVFI_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    assert fetch.cache_directory() == tmp_path / expected


def test_no_two_addresses_share_a_place(cache: Path) -> None:
    urls = [
        "https://a.org/x/w.pth",
        "https://b.org/x/w.pth",
        "https://a.org/w.pth",
        "https://a.org/w.pth?v=1",
        "https://a.org/w.pth?v=2",
        "https://a.org:81/w.pth",
    ]
    places = [fetch._place(Url(url=url)) for url in urls]
    assert len(set(places)) == len(urls)
    assert {place.name for place in places} == {"w.pth"}
    assert fetch._place(Url(url="https://a.org/../../../w.pth")) == cache / "a.org" / "w.pth"
