"""Downloads and every fault they may meet, against a local server; the hub's protocol is in test_fetch_hub."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save

from tests.fake_hub import FakeHub, Fault
from vsvfi.errors import DamagedWeightsError, DownloadError, MissingWeightsError
from vsvfi.weights import download, fetch
from vsvfi.weights.source import Manual, Source, Url

CONTENT = save({"weight": np.arange(30_000, dtype=np.float32)})
OTHER = save({"weight": np.ones(30_000, dtype=np.float32)})
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FETCH_APART = """
import sys
from pathlib import Path
from vsvfi.weights.fetch import fetch
from vsvfi.weights.source import Url
print(fetch("toy", eval(sys.argv[1]), licence="MIT"), file=sys.stderr)
"""


def get(*sources: Source) -> Path:
    return fetch.fetch("toy", sources, licence="MIT")


def fail(*sources: Source) -> str:
    """The message of a fetch that cannot succeed, once it is certain that nothing was installed."""
    with pytest.raises(DownloadError) as caught:
        get(*sources)
    assert fetch.installed(sources) is None
    return str(caught.value)


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and ".incomplete" in path.name)


def plant(url: str, content: bytes, validator: str | None = None) -> None:
    """What an earlier, killed download left behind."""
    target = fetch._place(Url(url=url))
    target.parent.mkdir(parents=True)
    target.with_name(target.name + ".incomplete").write_bytes(content)
    if validator is not None:
        target.with_name(target.name + ".incomplete.json").write_text(json.dumps({"validator": validator}))


def test_a_file_arrives_once(hub: FakeHub, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = Url(url=hub.add("/folder/toy.pth", CONTENT), sha256=SHA256, size=len(CONTENT))
    assert fetch.installed([source]) is None
    path = fetch.fetch(
        "toy", [source], licence="CC BY-NC 4.0", licence_notice="Not for commercial use.\nAsk the authors."
    )
    assert path.read_bytes() == CONTENT
    assert path.name == "toy.pth"
    assert path.is_relative_to(cache)
    assert fetch.installed([source]) == path == get(source)
    assert len(hub.asked()) == 1
    assert leftovers(cache) == []
    shown = capfd.readouterr()
    assert shown.out == ""
    assert f"'toy' from {source.url}; licence: CC BY-NC 4.0\nNot for commercial use.\nAsk the authors.\n" in shown.err
    assert shown.err.count("licence") == 1


def test_dropped_connections_are_resumed(hub: FakeHub, cache: Path) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT, Fault(drop=40_000), Fault(drop=30_000)))
    assert get(source).read_bytes() == CONTENT
    assert [request.range for request in hub.asked()] == [None, "bytes=40000-", "bytes=70000-"]
    assert leftovers(cache) == []


def test_a_download_given_up_is_resumed_by_the_next_run(hub: FakeHub) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT, *[Fault(drop=20_000)] * 4))
    assert f"the connection ended after 80000 of {len(CONTENT)} bytes" in fail(source)
    assert get(source).read_bytes() == CONTENT
    assert hub.asked()[-1].range == "bytes=80000-"


@pytest.mark.parametrize("forgetful", [False, True])
def test_a_file_that_changed_meanwhile_is_not_mixed(hub: FakeHub, forgetful: bool) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT, *[Fault(drop=20_000)] * 4))
    fail(source)
    hub.add("/toy.pth", OTHER, forgetful=forgetful)
    assert get(source).read_bytes() == OTHER
    assert [request.range for request in hub.asked()[4:]] == (["bytes=80000-", None] if forgetful else ["bytes=80000-"])


def test_leftovers_of_another_file_are_found_out_by_the_digest(hub: FakeHub) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT, tagged=False), sha256=SHA256)
    plant(source.url, OTHER[:50_000])
    assert get(source).read_bytes() == CONTENT
    assert [request.range for request in hub.asked()] == ["bytes=50000-", None]


def test_a_complete_leftover_is_no_dead_end(hub: FakeHub) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT))
    plant(source.url, CONTENT, hub.files["/toy.pth"].etag)
    assert get(source).read_bytes() == CONTENT


@pytest.mark.parametrize("how", [{"tagged": False}, {"ranges": False}])
def test_what_cannot_be_resumed_starts_again(hub: FakeHub, how: dict[str, bool]) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT, Fault(drop=40_000), **how))
    assert get(source).read_bytes() == CONTENT
    assert [request.range for request in hub.asked()] == [None, None if "tagged" in how else "bytes=40000-"]


def test_a_download_that_moves_on_is_never_given_up(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_WORTHWHILE", 10_000)
    source = Url(url=hub.add("/toy.pth", CONTENT, *[Fault(drop=11_000)] * 9))
    assert get(source).read_bytes() == CONTENT
    assert len(hub.asked()) == 10


@pytest.mark.parametrize(
    ("content", "pins", "reason"),
    [
        (
            OTHER,
            {"sha256": SHA256},
            f"its SHA-256 is {hashlib.sha256(OTHER).hexdigest()}, that of the published file is {SHA256}",
        ),
        (OTHER, {"sha256": SHA256[:8]}, f"that of the published file begins with {SHA256[:8]}"),
        (OTHER, {"git_blob": hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()}, "its git object id is"),
        (CONTENT, {"size": 5}, f"the server offers {len(CONTENT)} bytes, the published file has 5"),
        (CONTENT[:70_000], {}, "truncated"),
        (b"", {}, "it is empty"),
        (b"\n<!doctype HTML><title>Moved</title>", {}, "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", {}, "git-lfs pointer"),
        (b"Not Found, sorry", {}, "starts with b'Not Foun'"),
    ],
)
def test_a_wrong_file_is_refused_and_not_installed(
    hub: FakeHub, cache: Path, content: bytes, pins: dict[str, str], reason: str
) -> None:
    source = Url(url=hub.add("/toy.pth", content), **pins)  # type: ignore[arg-type]
    message = fail(source)
    assert reason in message
    assert source.url in message
    assert leftovers(cache) == []
    assert len(hub.asked()) == 1


def test_the_git_object_id_is_a_pin(hub: FakeHub) -> None:
    blob = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    assert get(Url(url=hub.add("/toy.pth", CONTENT), git_blob=blob)).read_bytes() == CONTENT


def test_a_page_announced_as_html_is_not_even_read(hub: FakeHub) -> None:
    assert "a web page instead of the file" in fail(Url(url=hub.add("/toy.pth", CONTENT, Fault(page=True))))


def test_a_file_of_unknown_length_needs_a_pin(hub: FakeHub) -> None:
    url = hub.add("/toy.pth", CONTENT, measured=False)
    assert "reports no file size" in fail(Url(url=url))
    assert get(Url(url=url, sha256=SHA256)).read_bytes() == CONTENT


def test_mirrors_are_tried_in_order(hub: FakeHub, capfd: pytest.CaptureFixture[str]) -> None:
    gone, wrong = Url(url=hub.url + "/gone.pth"), Url(url=hub.add("/wrong.pth", OTHER), sha256=SHA256)
    good = Url(url=hub.add("/good.pth", CONTENT), sha256=SHA256)
    assert get(gone, wrong, good).read_bytes() == CONTENT
    assert [request.path for request in hub.requests] == ["/gone.pth", "/wrong.pth", "/good.pth"]
    assert f"vsvfi: {gone} failed (HTTP 404 Not Found)" in capfd.readouterr().err
    assert fetch.installed([gone, wrong, good]) == get(gone, wrong, good)


def test_every_failed_source_is_named(hub: FakeHub) -> None:
    busy = Url(url=hub.add("/busy.pth", CONTENT, *[Fault(status=503)] * 4))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = Url(url=f"http://127.0.0.1:{closed.getsockname()[1]}/toy.pth")
        message = fail(busy, Url(url=hub.url + "/gone.pth"), nowhere)
    assert (
        f"{busy}: HTTP 503 Service Unavailable; {hub.url}/gone.pth: HTTP 404 Not Found; {nowhere}: the connection "
        "failed (" in message
    )
    assert len(hub.asked()) == 4


def test_a_passing_fault_passes(hub: FakeHub) -> None:
    assert get(Url(url=hub.add("/toy.pth", CONTENT, Fault(status=500), Fault(status=429)))).read_bytes() == CONTENT


@pytest.mark.parametrize("variable", ["VSVFI_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_means_no_request(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    here, there = Url(url=hub.add("/here.pth", CONTENT)), Url(url=hub.add("/there.pth", CONTENT))
    path = get(here)
    monkeypatch.setenv(variable, "1")
    with pytest.raises(MissingWeightsError, match=rf"downloads are off \({variable}=1\)"):
        get(there)
    assert get(here) == get(there, here) == path
    assert [request.path for request in hub.requests] == ["/here.pth"]
    monkeypatch.setenv(variable, "0")
    assert get(there).read_bytes() == CONTENT


def test_a_model_without_sources_cannot_be_fetched() -> None:
    with pytest.raises(MissingWeightsError, match="published nowhere") as caught:
        get()
    assert "; pass weights=PATH, or use model='builtin'" in str(caught.value)
    assert "models fetch" not in str(caught.value)


def test_a_file_that_only_a_person_can_fetch_says_so_and_is_found_where_it_belongs(hub: FakeHub, cache: Path) -> None:
    by_hand = Manual(file="toy.ckpt", page="https://example.org/page", size=3_400_000_000)
    with pytest.raises(MissingWeightsError) as caught:
        get(by_hand)
    place = cache / "by-hand" / "toy.ckpt"
    expected = (
        "model='toy', its weights are not on this machine and their authors publish them behind a web page alone, "
        "which vsvfi does not go through; "
        f"download toy.ckpt (3.4 GB) from https://example.org/page and put it at {place}, pass weights=PATH, or use "
        "model='builtin', which needs no download"
    )
    assert str(caught.value) == expected
    assert fetch.installed([by_hand]) is None
    place.parent.mkdir(parents=True)
    place.write_bytes(b"<html>not the file</html>")
    with pytest.raises(DamagedWeightsError):
        get(by_hand)
    place.write_bytes(CONTENT)
    assert get(by_hand) == fetch.installed([by_hand]) == place
    assert get(by_hand) == place  # by its record
    other = Manual(file="other.ckpt", page="https://example.org/other", size=1)
    assert get(other, Url(url=hub.add("/toy.pth", CONTENT))).read_bytes() == CONTENT  # a mirror that can be fetched is


@pytest.mark.parametrize("early", [True, False])
def test_a_full_disk_is_called_so(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, early: bool) -> None:
    if early:
        monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    else:

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(download.os, "fsync", full)
    message = fail(Url(url=hub.add("/toy.pth", CONTENT)))
    assert "no space is left in" in message
    assert "VSVFI_CACHE" in message
    assert len(hub.asked()) == 1


def test_a_folder_that_cannot_be_written_is_named(hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT))
    cache.write_text("in the way")
    assert "cannot be written (Not a directory); set VSVFI_CACHE" in fail(source)
    cache.unlink()

    def held(*paths: Path) -> None:
        raise PermissionError(errno.EACCES, "held by another program")

    monkeypatch.setattr(download.os, "replace", held)
    assert "cannot be written (held by another program)" in fail(source)


def apart(source: Url) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", FETCH_APART, repr([source])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_download_is_continued(hub: FakeHub) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT, pause=0.2))
    partial = fetch._place(source).with_name("toy.pth.incomplete")
    with apart(source) as process:
        deadline = time.monotonic() + 30
        while not (partial.exists() and partial.stat().st_size > 30_000):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert fetch.installed([source]) is None
    kept = partial.stat().st_size
    hub.files["/toy.pth"].pause = 0.0
    assert get(source).read_bytes() == CONTENT
    assert hub.asked()[-1].range == f"bytes={kept}-"


def test_two_processes_share_one_download(hub: FakeHub) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT, pause=0.25))
    with apart(source) as first, apart(source) as second:
        shown = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), shown
    assert [(out, "downloading" in err) for out, err in shown] == [("", True)] * 2
    assert get(source).read_bytes() == CONTENT
    assert len(hub.asked()) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_who_watches(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    get(Url(url=hub.add("/toy.pth", CONTENT, Fault(drop=60_000))))
    assert re.search(r"\rtoy\.pth: +\d+% of 0\.1 MB", terminal.getvalue())
    get(Url(url=hub.add("/long.pth", CONTENT, measured=False), sha256=SHA256))
    assert "\rlong.pth: 0.1 MB" in terminal.getvalue()
    assert capfd.readouterr().out == ""


def test_a_process_without_stderr_can_download(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert get(Url(url=hub.add("/toy.pth", CONTENT))).read_bytes() == CONTENT
