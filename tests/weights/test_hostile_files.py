"""Files made to exhaust memory or time are refused by their declared sizes, before anything is unpacked."""

from __future__ import annotations

import json
import os
import resource
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vsvfi.errors import ArgumentError, DamagedWeightsError
from vsvfi.weights.integrity import Digests, Record, container, open_regular
from vsvfi.weights.load import load_state

GIGABYTE = 1 << 30


def deflated_zeros(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"\x80\x02}.")
        with archive.open("w/data/0", "w") as entry:
            for _ in range(8):
                entry.write(bytes(1 << 24))


def lying_sizes(path: Path) -> None:
    """The directory claims a stored gigabyte."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02}.")
        archive.writestr("w/data/0", b"x" * 100)
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\1\2")
    content[at + 20 : at + 28] = struct.pack("<LL", 100, GIGABYTE)
    path.write_bytes(content)


def overlapping_entries(path: Path) -> None:
    """Every entry has the same bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02}.")
        archive.writestr("w/data/0", bytes(1 << 20))
        first = archive.infolist()[1]
        for index in range(1, 4):
            entry = zipfile.ZipInfo(f"w/data/{index}")
            entry.header_offset, entry.CRC = first.header_offset, first.CRC
            entry.file_size, entry.compress_size = first.file_size, first.compress_size
            archive.filelist.append(entry)
        archive._didModify = True  # type: ignore[attr-defined]


def directory_of_millions(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02}.")
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\5\6")
    content[at + 8 : at + 16] = struct.pack("<HHL", 60_000, 60_000, 3 << 30)
    path.write_bytes(content)


def long_index(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02}" + b"0" * (17 << 20))


def nested_header(path: Path) -> None:
    header = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def long_header(path: Path) -> None:
    header = json.dumps({str(index): [] for index in range(600_000)}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def header_of_huge_numbers(path: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,' + b"9" * 5000 + b"]}}"
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def huge_storage(path: Path) -> None:
    """A pickle of the old format that requests a terabyte."""
    torch.save({"a": torch.ones(1000)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    at = content.index(b"M\xe8\x03", content.index(b"cpu"))
    path.write_bytes(content[:at] + b"\x8a\x06" + (10**12).to_bytes(6, "little") + content[at + 3 :])


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (deflated_zeros, "unpacks to 134217"),
        (lying_sizes, "unpacks to 10737"),
        (overlapping_entries, "entries overlap"),
        (directory_of_millions, "60000 entries, more than any checkpoint has"),
        (long_index, "index of tensors has"),
        (nested_header, "header cannot be read"),
        (long_header, "header has .* more than any"),
        (header_of_huge_numbers, "header cannot be read"),
        (huge_storage, "is to have 4000000000000 bytes, the file has"),
    ],
)
@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_that_would_exhaust_the_machine_is_refused(
    tmp_path: Path, make: Callable[[Path], None], fault: str, mapped: bool
) -> None:
    path = tmp_path / "w.pth"
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DamagedWeightsError, match=fault):
        load_state(path, mapped=mapped)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


def test_a_checkpoint_that_was_packed_again_is_still_read(tmp_path: Path) -> None:
    torch.save({"a": torch.rand(1000)}, tmp_path / "stored")
    with (
        zipfile.ZipFile(tmp_path / "stored") as stored,
        zipfile.ZipFile(tmp_path / "packed", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    assert torch.equal(load_state(tmp_path / "packed")["a"], load_state(tmp_path / "stored")["a"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found: list[object] = []

    def attempt() -> None:
        for call in (load_state, open_regular, container):
            try:
                call(tmp_path / "pipe")
            except (ArgumentError, OSError) as error:
                found.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(20)
    assert len(found) == 3


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no /proc here")
@pytest.mark.parametrize("path", ["/proc/self/mem", "/proc/self/status"])
def test_what_has_no_size_is_not_read(path: str) -> None:
    with pytest.raises(DamagedWeightsError, match="it is empty"):
        load_state(path)


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff", b"[]", b'{"sha256": 1}', b'{"size": 1e999}', b"1" * 10_000, b" " * (1 << 20)]
)
def test_a_record_that_cannot_be_read_is_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    Record(Digests("a", "b", 1), 1, 1).write(tmp_path / "record")
    assert Record.read(tmp_path / "record") is not None
    (tmp_path / "record").write_bytes(content)
    assert Record.read(tmp_path / "record") is None
    assert "cannot be read" in caplog.text
