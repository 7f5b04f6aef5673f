"""Jobs on a Dask cluster of two worker processes, one of which is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs import fake_render
from tests.jobs.test_job import fake, hashes, job_of, render, video, whole
from vsvfi.cli import main
from vsvfi.cli.versions import versions
from vsvfi.errors import VsvfiError
from vsvfi.jobs.transfer import Transfer

pytest.importorskip("distributed", reason="dask.distributed is not installed (extra 'cluster')")
__all__ = ["fake", "video", "whole"]


def start(*arguments: str, **more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
        env=fake_render.environment(FAKE_DELAY="0.04", **more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    folder = tmp_path_factory.mktemp("cluster")
    contact = folder / "scheduler.json"
    running = [start("dask_scheduler", "--port", "0", "--scheduler-file", str(contact), "--no-dashboard")]
    while not contact.exists() or not contact.read_text().endswith("}"):
        assert running[0].poll() is None
        time.sleep(0.05)
    import json

    address = json.loads(contact.read_text())["address"]
    for number in range(2):
        place = folder / f"worker{number}"
        place.mkdir()
        running.append(
            start(
                *("dask_worker", address, "--no-nanny", "--nthreads", "4", "--no-dashboard", "--name", f"w{number}"),
                *("--local-directory", str(place), "--preload", "tests.jobs.fake_render"),
            )
        )
    yield address, running[1:]
    for process in reversed(running):
        process.terminate()
        process.wait(20)


def test_uploaded_and_rendered_on_both_workers(
    fake: None, cluster: Any, video: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, _ = cluster
    output = tmp_path / "out.mkv"
    assert render(video, output, "--scheduler", address, "--upload", "--json") == 0, capsys.readouterr().err
    assert hashes(output) == hashes(whole)
    seen = capsys.readouterr()
    assert '"worker": "w0"' in seen.out
    assert '"worker": "w1"' in seen.out
    assert "Dask cluster at" in seen.err
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


def test_a_worker_that_cannot_store_the_source_is_left_out(
    fake: None, cluster: Any, video: Path, whole: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed

    address, _ = cluster
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, 60)
    real, refused = Transfer.provide, []

    def provide(self: Transfer, worker: str) -> None:
        if len(refused) < full:
            refused.append(worker)
            raise VsvfiError(f"worker {worker} cannot store the job's files (No space left on device)")
        real(self, worker)

    monkeypatch.setattr(Transfer, "provide", provide)
    more = ("--scheduler", address, "--upload", "-e", 11)
    full = 1
    assert render(video, tmp_path / "out.mkv", *more) == 0
    assert "(No space left on device); the other workers do its work" in capsys.readouterr().err
    assert hashes(tmp_path / "out.mkv") == hashes(whole)[:12]
    full, refused = 2, []
    assert render(video, tmp_path / "out.mkv", *more, "--overwrite") == 1
    assert len(set(refused)) == 2
    assert "vsvfi: worker tcp" in capsys.readouterr().err


def test_workers_of_other_versions_are_refused(
    fake: None, cluster: Any, video: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = cluster
    monkeypatch.setattr("vsvfi.cli.job_plan.versions", lambda encoder: {**versions(encoder), "torch": "1.0"})
    assert render(video, tmp_path / "out.mkv", "--scheduler", address) == 1
    said = capsys.readouterr().err
    assert re.search(r"worker w\d is not used: torch \S+ instead of 1\.0; install the same versions", said)
    assert "no worker of the cluster can render this job (w" in said


def test_a_killed_workers_chunk_goes_to_another(
    fake: None, cluster: Any, video: Path, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """On a shared path, in a run of its own, while this process watches it."""
    address, (first, _) = cluster
    output = tmp_path / "out.mkv"
    command = [sys.executable, "-m", "tests.jobs.fake_render", "render", str(video), "-o", str(output)]
    command += ["--encoder", "ffv1", "--device", "cpu", "--scheduler", address]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, env=fake_render.environment())
    while not list(job_of(output).glob("chunks/*.partial")):
        assert running.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert b"failed on w0: its worker was lost; trying again" in said
    assert hashes(output) == hashes(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


def test_a_scheduler_that_does_not_answer(
    fake: None, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed

    def refuse(*arguments: object, **more: object) -> None:
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", refuse)
    assert render(video, tmp_path / "out.mkv", "--scheduler", "tcp://127.0.0.1:9") == 1
    assert "cannot be reached (Timed out trying to connect); check the address" in capsys.readouterr().err
    assert main(["join", str(job_of(tmp_path / "out.mkv"))]) == 1
    assert os.path.isdir(job_of(tmp_path / "out.mkv"))
