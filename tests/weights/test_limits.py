"""Downloads that would not end, locks that are not given back, disks that fill up, interrupts."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import numpy as np
import pytest
from safetensors.numpy import save

from tests.fake_hub import FakeHub, Fault
from vsvfi.errors import DownloadError
from vsvfi.weights import download, fetch, http, limits, lock, wheel
from vsvfi.weights.limits import InterruptedTransferError, Pace, SourceError
from vsvfi.weights.source import Hub, Source, Url

CONTENT = save({"weight": np.arange(30_000, dtype=np.float32)})
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def get(*sources: Source) -> Path:
    return fetch.fetch("toy", sources, licence="MIT")


def fail(*sources: Source) -> str:
    with pytest.raises(DownloadError) as caught:
        get(*sources)
    return str(caught.value)


def files(cache: Path) -> list[str]:
    """Files in the cache other than lock files."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can wait for."""
    monkeypatch.setattr(limits, "WINDOW", 0.5)
    monkeypatch.setattr(limits, "ANSWER", 0.5)
    monkeypatch.setattr(limits, "SLOWEST", 200_000)
    monkeypatch.setattr(lock, "PATIENCE", 1.0)
    monkeypatch.setattr(lock, "_POLL", 0.05)


@pytest.mark.parametrize("pins", [{"size": len(CONTENT)}, {"size": len(CONTENT), "sha256": SHA256}])
def test_an_endless_answer_is_ended_at_the_published_size(hub: FakeHub, cache: Path, pins: dict[str, object]) -> None:
    url = hub.add("/toy.pth", CONTENT, *[Fault(endless=True)] * 4)
    assert f"the server sends more than the {len(CONTENT)} bytes that the file may have" in fail(Url(url=url, **pins))  # type: ignore[arg-type]
    assert len(hub.asked()) == 1
    assert hub.endless < 64 << 20  # what lay in the buffers of the sockets
    assert files(cache) == []


def test_without_a_published_size_a_bound_holds(hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LARGEST", 200_000)
    url = hub.add("/toy.pth", CONTENT, Fault(endless=True))
    assert "the server sends more than the 200000 bytes" in fail(Url(url=url, sha256=SHA256))
    monkeypatch.setattr(download, "LARGEST", 100_000)
    assert f"the server offers {len(CONTENT)} bytes, and a file of weights has at most 100000" in fail(
        Url(url=url, sha256=SHA256)
    )
    assert files(cache) == []


def test_an_answer_that_ends_early_is_continued_where_only_the_published_size_is_known(hub: FakeHub) -> None:
    url = hub.add("/toy.pth", CONTENT, Fault(drop=50_000), measured=False)
    assert get(Url(url=url, sha256=SHA256, size=len(CONTENT))).read_bytes() == CONTENT
    assert hub.asked()[-1].range == "bytes=50000-"


@pytest.mark.usefixtures("swift")
def test_a_trickle_is_given_up_and_kept_for_the_next_run(hub: FakeHub, cache: Path) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT, pause=0.6), sha256=SHA256)
    started = time.monotonic()
    assert "the server is too slow (" in fail(source)
    assert time.monotonic() - started < 60
    assert "toy.pth.incomplete" in files(cache)
    hub.files["/toy.pth"].pause = 0.0
    assert get(source).read_bytes() == CONTENT
    assert str(hub.asked()[-1].range).startswith("bytes=")


def test_a_slow_line_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A modem's 5,000 bytes a second for an hour; then nothing for a window."""
    now = 0.0
    monkeypatch.setattr(limits.time, "monotonic", lambda: now)
    pace = Pace(0)
    for second in range(3600):
        now = float(second)
        pace.check(5000 * second)
    now += limits.WINDOW + 2
    with pytest.raises(InterruptedTransferError, match="too slow"):
        pace.check(5000 * 3600)


@pytest.mark.usefixtures("swift")
@pytest.mark.parametrize("fault", [Fault(silent=True), Fault(trickle=0.02)])
def test_an_answer_that_never_begins_is_given_up(hub: FakeHub, fault: Fault) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT, *[fault] * 4))
    started = time.monotonic()
    assert "the server did not answer within" in fail(source)
    assert time.monotonic() - started < 30
    assert get(source).read_bytes() == CONTENT


def test_a_file_that_always_starts_again_is_given_up(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only bytes beyond the furthest position so far are progress.

    This server has no ranges and always drops the connection.
    """
    monkeypatch.setattr(download, "_WORTHWHILE", 10_000)
    source = Url(
        url=hub.add("/toy.pth", CONTENT, *[Fault(drop=40_000), Fault(drop=20_000)] * 20, ranges=False, tagged=False)
    )
    assert "the connection ended after" in fail(source)
    assert len(hub.asked()) < 12


def test_a_leftover_that_is_too_long_is_not_asked_to_go_on(hub: FakeHub) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT), sha256=SHA256, size=len(CONTENT))
    target = fetch._place(source)
    target.parent.mkdir(parents=True)
    target.with_name("toy.pth.incomplete").write_bytes(bytes(len(CONTENT) + 1))
    assert get(source).read_bytes() == CONTENT
    assert [request.range for request in hub.asked()] == [None]


def test_a_complete_leftover_needs_no_request(hub: FakeHub) -> None:
    source = Url(url=hub.add("/toy.pth", CONTENT), sha256=SHA256, size=len(CONTENT))
    target = fetch._place(source)
    target.parent.mkdir(parents=True)
    target.with_name("toy.pth.incomplete").write_bytes(CONTENT)
    assert get(source).read_bytes() == CONTENT
    assert hub.asked() == []
    target.unlink()
    target.with_name("toy.pth.incomplete").write_bytes(bytes(len(CONTENT)))
    assert get(source).read_bytes() == CONTENT
    assert [request.range for request in hub.asked()] == [None]


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_is_called_so_and_given_back(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch, full: int
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(full, os.strerror(full))

    monkeypatch.setattr(download.os, "fsync", fsync)
    assert "no space is left in" in fail(Url(url=hub.add("/toy.pth", CONTENT)))
    assert files(cache) == []


def test_an_interrupt_leaves_nothing(hub: FakeHub, cache: Path) -> None:
    """Ctrl-C to `vsvfi models fetch`, which is what a person does."""
    url = hub.add("/toy.pth", CONTENT, pause=0.2)
    script = "import sys; from vsvfi.cli import main, models; from vsvfi.models.family import Variant\n"
    script += "from vsvfi.weights.source import Url\n"
    script += "variant = Variant(name='toy', config={}, sources=(Url(url=sys.argv[1]),), licence='MIT')\n"
    script += "models.registry.find = lambda name: (None, variant)\nsys.exit(main(['models', 'fetch', 'toy']))"
    with subprocess.Popen(
        [sys.executable, "-c", script, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        partial = fetch._place(Url(url=url)).with_name("toy.pth.incomplete")
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert files(cache) == []


# --- waiting for another process


@pytest.fixture
def holder(cache: Path) -> Iterator[Path]:
    """Another process's hold on the lock of /toy.pth; yields the lock's path."""
    cache.mkdir()
    path = cache / "toy.lock"
    script = "import sys, time; from pathlib import Path; from vsvfi.weights.lock import hold\n"
    script += (
        "with hold(Path(sys.argv[1]), Path(sys.argv[1]).parent):\n    print('held', flush=True)\n    time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        path.with_name("pid").write_text(str(process.pid))
        yield path
        process.kill()


@pytest.mark.usefixtures("swift")
def test_a_holder_that_does_nothing_is_named_and_not_waited_for(
    holder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pid = holder.with_name("pid").read_text()
    with pytest.raises(SourceError) as caught, lock.hold(holder, holder.parent):
        pass
    assert str(caught.value) == f"process {pid} holds {holder} and has not got on for 1 s; end it and try again"
    assert capfd.readouterr().err == f"vsvfi: waiting for process {pid}, which downloads the same file ({holder})\n"


@pytest.mark.usefixtures("swift")
def test_a_holder_that_gets_on_is_waited_for_and_a_dead_one_is_not(holder: Path) -> None:
    """Longer than the patience; then the holder is killed."""
    pid = int(holder.with_name("pid").read_text())

    def work() -> None:
        for step in range(30):
            holder.with_name("growing").write_bytes(bytes(step))
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=work)
    thread.start()
    started = time.monotonic()
    with lock.hold(holder, holder.parent):
        assert time.monotonic() - started > 2
    thread.join()


def test_where_files_cannot_be_locked_a_dead_holder_is_found_out(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()

    def unsupported(self: object, *arguments: object, **named: object) -> None:
        raise NotImplementedError("no flock here")

    monkeypatch.setattr(filelock.FileLock, "acquire", unsupported)
    monkeypatch.setattr(lock, "_POLL", 0.05)
    path = cache / "toy.lock"
    path.touch()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    path.with_name("toy.lock.holder").write_text(json.dumps({"pid": process.pid, "host": platform.node()}))
    with lock.hold(path, cache):
        assert path.exists()
    assert not path.exists()
    assert not lock._is_gone((os.getpid(), platform.node()))
    assert not lock._is_gone((process.pid, "another-machine"))
    assert lock._name((7, "another-machine")) == "process 7 on another-machine"
    assert lock._name(None) == "another process"


# --- the hub's own files


def hub_fetch(hub: FakeHub, folder: Path, source: Hub) -> tuple[str, str]:
    """Return stdout and stderr of a fetch in a process of its own.

    huggingface_hub reads the environment when it is imported.
    """
    script = "import sys; from vsvfi.weights import fetch, limits; from vsvfi.weights.source import Hub\n"
    script += "from vsvfi.errors import VsvfiError\n"
    script += "limits.WINDOW, limits.SLOWEST = 0.5, 200_000\n"
    script += f"try: print(fetch.fetch('toy', [{source!r}], licence='MIT'))\n"
    script += "except VsvfiError as error: print('failed:', error)"
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize(
    ("faults", "how", "told"),
    [
        ([Fault(endless=True)] * 4, {}, "the server sends more than"),
        ([], {"pause": 0.6}, "the server is too slow ("),
    ],
)
def test_the_hub_is_held_to_the_same_limits(
    hub: FakeHub, tmp_path: Path, faults: list[Fault], how: dict[str, float], told: str
) -> None:
    hub.add("/owner/name/resolve/main/toy.pth", CONTENT, *faults, **how)
    started = time.monotonic()
    said, _ = hub_fetch(hub, tmp_path, Hub(repo="owner/name", file="toy.pth"))
    assert told in said
    assert time.monotonic() - started < 100
    big = [path for path in (tmp_path / "hub").rglob("*") if path.is_file() and path.stat().st_size >= len(CONTENT)]
    assert big == []


def test_a_size_that_is_not_the_published_one_is_refused_before_anything_comes(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("/owner/name/resolve/main/toy.pth", CONTENT)
    said, _ = hub_fetch(hub, tmp_path, Hub(repo="owner/name", file="toy.pth", size=5))
    assert f"the server offers {len(CONTENT)} bytes, the published file has 5" in said
    assert hub.asked() == []


def test_content_that_another_program_brought_is_used_and_a_damaged_one_replaced(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("/owner/name/resolve/main/toy.pth", CONTENT)
    blob = tmp_path / "hub" / "hub" / "models--owner--name" / "blobs" / SHA256
    blob.parent.mkdir(parents=True)
    blob.write_bytes(CONTENT)
    said, _ = hub_fetch(hub, tmp_path, Hub(repo="owner/name", file="toy.pth"))
    assert Path(said).read_bytes() == CONTENT
    assert hub.asked() == []
    Path(said).unlink()
    blob.write_bytes(CONTENT[:-1])
    said, _ = hub_fetch(hub, tmp_path, Hub(repo="owner/name", file="toy.pth"))
    assert Path(said).read_bytes() == CONTENT
    assert len(hub.asked()) == 1


def test_a_password_goes_to_no_other_host() -> None:
    request = http.urllib.request.Request(
        "http://one.example/a", headers={"Authorization": "Bearer x", "User-Agent": "vsvfi"}
    )
    for address, kept in (("http://one.example/b", True), ("http://two.example/b", False)):
        redirected = http._Redirect().redirect_request(request, None, 302, "Found", {}, address)  # type: ignore[arg-type]
        assert redirected is not None
        assert redirected.has_header("Authorization") == kept


def test_sockets_that_are_closed_already_do_not_stop_the_timer() -> None:
    timer = limits.AnswerTimer()
    with socket.socket() as closed:
        timer.watch(closed)
    timer._expire()
    assert timer.expired


def test_a_pip_that_does_nothing_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wheel._STALLED < lock.PATIENCE
    monkeypatch.setattr(wheel, "_STALLED", 0.5)
    with pytest.raises(SourceError, match="in which nothing came"):
        wheel.run_limited([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, 1 << 20)
