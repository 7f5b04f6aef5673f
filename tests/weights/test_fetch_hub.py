"""Downloads through huggingface_hub from a fake hub.

Its library reads the environment when it is imported, so each case runs in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from tests.fake_hub import COMMIT, FakeHub, Fault
from vsvfi.weights.source import Hub, Source, Url

CONTENT = save({"weight": np.arange(30_000, dtype=np.float32)})
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = "/owner/name/resolve/main/folder/toy.pth"
TOY = Hub(repo="owner/name", file="folder/toy.pth")
SCRIPT = """
import json, sys
from pathlib import Path
from vsvfi.errors import VsvfiError
from vsvfi.weights import download, fetch
from vsvfi.weights.source import Hub, Url
sources, outcome, stderr = eval(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "True"
fetch.PAUSES = (0.0, 0.0, 0.0)
if not stderr:
    sys.stderr = None
try:
    result = {"path": str(fetch.fetch("toy", sources, licence="MIT"))}
except VsvfiError as error:
    result = {"error": type(error).__name__, "text": str(error)}
result["installed"] = str(fetch.installed(sources))
outcome.write_text(json.dumps(result))
"""


class Place:
    """A user's home for these tests: a hub cache and one of ours."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("HF_", "VSVFI_"))
        } | {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(folder / "hub"),
            "VSVFI_CACHE": str(folder / "own"),
            "NO_PROXY": "127.0.0.1",
        }

    def fetch(self, *sources: Source, stderr: bool = True, **environment: str) -> dict[str, str]:
        """What `fetch` returned or raised, in a process of its own that wrote nothing to stdout."""
        outcome = self.folder / "outcome.json"
        command = [sys.executable, "-W", "error", "-c", SCRIPT, repr(sources), str(outcome), str(stderr)]
        done = subprocess.run(
            command, env=self.environment | environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        return {**json.loads(outcome.read_text()), "stderr": done.stderr}


@pytest.fixture
def place(hub: FakeHub, tmp_path: Path) -> Place:
    return Place(tmp_path, hub.url)


def test_a_hub_file_arrives_once_and_is_found_offline(hub: FakeHub, place: Place) -> None:
    hub.add(FILE, CONTENT, Fault(drop=50_000), Fault(status=500))
    first = place.fetch(TOY)
    path = Path(first["path"])
    assert path.read_bytes() == CONTENT
    assert path.parts[-3:] == (COMMIT, "folder", "toy.pth")
    assert "downloading the weights of 'toy' from hub:owner/name/folder/toy.pth; licence: MIT" in first["stderr"]
    assert len(hub.asked()) == 3
    requests = len(hub.requests)
    again = place.fetch(TOY, HF_HUB_OFFLINE="1")
    assert again["path"] == again["installed"] == first["path"]
    assert again["stderr"] == ""
    assert len(hub.requests) == requests
    records = list((place.folder / "own" / "records").iterdir())
    assert [json.loads(record.read_text())["sha256"] for record in records] == [SHA256]


def test_offline_means_no_request(hub: FakeHub, place: Place) -> None:
    hub.add(FILE, CONTENT)
    assert place.fetch(TOY, HF_HUB_OFFLINE="1")["error"] == "MissingWeightsError"
    assert hub.requests == []


@pytest.mark.parametrize("pinned", [True, False])
def test_a_wrong_hub_file_is_refused_and_not_kept(hub: FakeHub, place: Place, pinned: bool) -> None:
    """Whether the digest is ours or the hub's own."""
    claimed = "ab" * 32
    hub.add(FILE, CONTENT, digest=None if pinned else claimed)
    result = place.fetch(Hub(repo=TOY.repo, file=TOY.file, sha256=claimed if pinned else None))
    assert result["error"] == "DownloadError"
    assert (
        f"hub:owner/name/folder/toy.pth: what came is not the published file: its SHA-256 is {SHA256}, that of the "
        f"published file is {claimed}" in result["text"]
    )
    assert result["installed"] == "None"
    assert [
        path for path in (place.folder / "hub").rglob("*") if path.is_file() and path.stat().st_size >= len(CONTENT)
    ] == []


def test_a_missing_hub_file_is_taken_from_its_mirror(hub: FakeHub, place: Place) -> None:
    mirror = Url(url=hub.add("/toy.pth", CONTENT))
    result = place.fetch(TOY, mirror)
    assert Path(result["path"]).read_bytes() == CONTENT
    assert "hub:owner/name/folder/toy.pth failed (HTTP 404 Not Found)" in result["stderr"]


def test_an_altered_hub_file_is_refused_and_can_be_replaced(hub: FakeHub, place: Place) -> None:
    hub.add(FILE, CONTENT)
    path = Path(place.fetch(TOY)["path"])
    blob = path.resolve()
    blob.write_bytes(CONTENT[:-1] + b"\x01")
    altered = place.fetch(TOY)
    assert altered["error"] == "DamagedWeightsError"
    assert f"weights={str(blob)!r}, it has changed since it was verified" in altered["text"]
    blob.unlink()
    assert Path(place.fetch(TOY)["path"]).read_bytes() == CONTENT


def test_a_file_brought_by_another_program_is_held_against_the_name_of_its_blob(hub: FakeHub, place: Place) -> None:
    hub.add(FILE, CONTENT)
    path = Path(place.fetch(TOY)["path"])
    assert place.fetch(TOY, VSVFI_CACHE=str(place.folder / "fresh"))["path"] == str(path)
    path.resolve().write_bytes(CONTENT[:-1] + b"\x01")
    altered = place.fetch(TOY, VSVFI_CACHE=str(place.folder / "fresher"))
    assert altered["error"] == "DamagedWeightsError"
    assert f"that of the published file is {SHA256}" in altered["text"]


def test_without_symbolic_links_and_without_stderr(hub: FakeHub, place: Place) -> None:
    hub.add(FILE, CONTENT)
    result = place.fetch(TOY, stderr=False, HF_HUB_DISABLE_SYMLINKS="1")
    path = Path(result["path"])
    assert path.read_bytes() == CONTENT
    assert not path.is_symlink()
    assert result["stderr"] == ""


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_an_unreachable_hub_is_named(hub: FakeHub, place: Place, sha256: str | None) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        result = place.fetch(
            Hub(repo=TOY.repo, file=TOY.file, sha256=sha256), HF_ENDPOINT=f"http://127.0.0.1:{closed.getsockname()[1]}"
        )
    assert result["error"] == "DownloadError"
    assert "refused" in result["text"].lower()
    assert result["installed"] == "None"


def test_a_hub_cache_that_cannot_be_written_is_named(hub: FakeHub, place: Place) -> None:
    hub.add(FILE, CONTENT)
    (place.folder / "hub").write_text("in the way")
    result = place.fetch(TOY)
    assert result["error"] == "DownloadError"
    assert "cannot be written (Not a directory)" in result["text"]
