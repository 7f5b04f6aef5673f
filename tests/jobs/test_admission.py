"""Workers of other versions are refused, at the start and when they join later, on a cluster that is a fake."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from vsvfi.cli import versions
from vsvfi.cli.programs import Encoder
from vsvfi.errors import VsvfiError
from vsvfi.jobs import remote
from vsvfi.jobs.admission import Admission, check_scheduler
from vsvfi.jobs.manifest import Manifest
from vsvfi.jobs.remote import own_versions, python_version, state_versions

PLANNED = {"vsvfi": "1.0", "torch": "2.10.0+cpu", "ffmpeg": "ffmpeg version 7"}
SAME = {**PLANNED, "torch": "2.10.0+cu128", "Python": python_version(), "vapoursynth-bestsource": "20"}
MANIFEST = Manifest({"version of": PLANNED}, {}, {}, {"encoder": "libx265", "muxer": "matroska"}, (), 1.0)


@dataclass
class Cluster:
    """A client of workers with these answers; None is one that does not answer."""

    answers: dict[str, Any]
    asked: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, function: Any, *arguments: str, workers: list[str], on_error: str) -> dict[str, Any]:
        assert (function, arguments, on_error) == (state_versions, ("libx265", "matroska"), "return")
        self.asked += workers
        if self.answers[workers[0]] is None:
            self.ended.wait(20)
        return {workers[0]: self.answers[workers[0]]}


def settled(admission: Admission, names: dict[str, str], silent: int = 0) -> dict[str, str]:
    """Look at the workers until all have answered but `silent` ones."""
    admission.admitted(names)
    for _ in range(2000):
        if len(admission._asked) == silent:
            break
        time.sleep(0.005)
        admission.admitted(names)
    return admission.admitted(names)


def test_only_workers_of_the_plans_versions_are_admitted() -> None:
    python = "3.12" if python_version() != "3.12" else "3.13"
    missing = ModuleNotFoundError("No module named 'vsvfi'")
    old = {"versions": {**SAME, "torch": "2.9.1", "Python": python}}
    client = Cluster({"a": {"versions": SAME}, "b": old, "c": None, "d": missing})
    said: list[str] = []
    admission = Admission(client, MANIFEST, said.append)
    assert settled(admission, {"a": "w0", "b": "w1"}) == {"a": "w0"}
    joined = {"a": "w0", "b": "w1", "c": "w2", "d": "w3"}
    assert settled(admission, joined, silent=1) == {"a": "w0"}
    assert admission.waiting
    assert sorted(client.asked) == ["a", "b", "c", "d"]
    assert said == [
        f"worker w1 is not used: Python {python} instead of {python_version()}, torch 2.9.1 instead of 2.10.0+cpu; "
        "install the same versions on all machines",
        "worker w3 is not used: it cannot state its versions (ModuleNotFoundError: No module named 'vsvfi'); install "
        "the same versions on all machines",
    ]
    assert admission.admitted({"b": "w1"}) == {}  # the others are lost; the job waits for one that fits
    assert not admission.waiting
    client.ended.set()


def test_a_cluster_of_other_versions_alone_is_refused() -> None:
    lacking = {name: version for name, version in SAME.items() if name != "ffmpeg"}
    client = Cluster({"a": {"versions": lacking}, "b": {"error": "ffmpeg has no encoder 'libx265'"}})
    expected = r"can render this job \(w0: no ffmpeg instead of ffmpeg version 7; w1: ffmpeg has no encoder 'libx265'\)"
    with pytest.raises(VsvfiError, match=expected):
        settled(Admission(client, MANIFEST, lambda text: None), {"a": "w0", "b": "w1"})


def test_a_worker_that_is_lost_while_it_is_asked_is_asked_again() -> None:
    client = Cluster({"a": {"versions": SAME}})
    answers, client.answers = client.answers, {}
    admission = Admission(client, MANIFEST, lambda text: None)
    admission.admitted({"a": "w0"})
    while not client.asked:
        time.sleep(0.005)
    client.answers = answers
    assert settled(admission, {"a": "w0"}) == {"a": "w0"}
    assert client.asked == ["a", "a"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, None),
        ({"vsvfi": "0.0.1"}, r"vsvfi 0\.0\.1 instead of"),
        (ModuleNotFoundError("No module named 'vsvfi'"), "ModuleNotFoundError: No module named 'vsvfi'"),
    ],
)
def test_a_scheduler_that_cannot_read_tasks_is_refused(answer: Any, reason: str | None) -> None:
    class Client:
        def run_on_scheduler(self, function: Any) -> Any:
            assert function is own_versions
            if isinstance(answer, Exception):
                raise answer
            return {**own_versions(), **answer}

    if reason is None:
        check_scheduler(Client())
        return
    with pytest.raises(VsvfiError, match=rf"the Dask scheduler cannot run this job \({reason}.*same versions"):
        check_scheduler(Client())


def test_a_worker_states_its_versions_by_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(code: str) -> dict[str, Any]:
        monkeypatch.setattr(remote, "versions_command", lambda *_: [sys.executable, "-c", code])
        return asyncio.run(state_versions("ffv1", "matroska"))

    assert answer('print(\'{"versions": {"a": "1"}}\')') == {"versions": {"Python": python_version(), "a": "1"}}
    assert answer('print(\'{"error": "why"}\')') == {"error": "why"}
    assert "cannot state its versions (JSONDecodeError" in answer("")["error"]


@pytest.mark.parametrize("note", ["", "ffmpeg lacks libx265; using libx264 instead"])
def test_versions_are_printed_with_those_of_packages(
    note: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(versions, "find_encoder", lambda *_: Encoder("ffmpeg", "libx265", note))
    monkeypatch.setattr(versions, "ffmpeg_version", lambda _: "ffmpeg version 7")
    assert versions.main(["libx265", "matroska"]) == 0
    stated = json.loads(capsys.readouterr().out)
    if note:
        assert stated == {"error": note}
    else:
        assert {"vsvfi", "torch", "vapoursynth", "ffmpeg"} <= stated["versions"].keys()
