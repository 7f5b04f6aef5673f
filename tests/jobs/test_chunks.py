"""The plan of a job and its stored muxer: arithmetic and files alone."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsvfi.cli.join import concat_list
from vsvfi.errors import VsvfiError
from vsvfi.jobs.chunks import Chunk, chunk_length, divide, from_starts, leading
from vsvfi.jobs.folder import JobFolder, State, write_json
from vsvfi.jobs.manifest import Manifest, differences, file_identity, files_identity
from vsvfi.jobs.progress import Progress, clock_time
from vsvfi.jobs.retry import Failure, Places, Try, next_try
from vsvfi.jobs.transfer import Transfer
from vsvfi.media.constant import bitrate_target

CHUNKS = from_starts([0, 10, 25], 29)


@given(st.integers(0, 50), st.integers(0, 500), st.integers(1, 80), st.sets(st.integers(0, 600)))
def test_chunks_cover_every_frame_once_and_are_bounded(first: int, count: int, length: int, cuts: set[int]) -> None:
    last = first + count
    asked: list[int] = []

    def begins_scene(n: int) -> bool:
        asked.append(n)
        return n in cuts

    chunks = divide(first, last, length, begins_scene)
    frames = [n for chunk in chunks for n in range(chunk.first, chunk.last + 1)]
    assert frames == list(range(first, last + 1))
    assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert asked == sorted(set(asked))
    for chunk in chunks[:-1]:
        assert length - length // 4 <= chunk.frames <= length + length // 4
    assert chunks[-1].frames <= length + length // 2 + 1
    for chunk in chunks[1:]:
        nominal = first + (chunk.number - 1) * length
        window = range(nominal, min(nominal + length // 4, last) + 1)
        assert chunk.first == next((n for n in window if n in cuts), nominal)


def test_no_frames_are_no_plan() -> None:
    with pytest.raises(ValueError, match="divide"):
        divide(5, 4, 10, lambda n: False)


def test_a_chunk_lasts_about_five_minutes_of_work() -> None:
    assert chunk_length(Fraction(60), 1.0) == 300
    assert chunk_length(Fraction(60), 1000.0) == 7200
    assert chunk_length(Fraction(60), 0.001) == 240
    assert chunk_length(Fraction(1), 0.001) == 16


def test_what_is_finished_without_a_gap() -> None:
    assert leading(CHUNKS, lambda chunk: chunk.number != 2) == CHUNKS[:1]
    assert leading(CHUNKS, lambda chunk: True) == CHUNKS
    assert leading(CHUNKS, lambda chunk: False) == ()


def test_durations_in_the_list_do_not_drift() -> None:
    rate = Fraction(48000, 1001)
    chunks = from_starts(range(100, 10_000, 7), 10_005)
    text = concat_list([f"{chunk.name}.mkv" for chunk in chunks], chunks, rate)
    durations = [Fraction(line.split()[1]) for line in text.splitlines() if line.startswith("duration")]
    assert len(durations) == len(chunks)
    assert abs(sum(durations) - 9906 / rate) <= Fraction(1, 1_000_000)


ENCODING = {
    "output": "out.mkv",
    "muxer": "matroska",
    "chunk_muxer": "matroska",
    "encoder": "libx265",
    "crf": None,
    "preset": None,
    "more": [],
    "requests": None,
}
MANIFEST = Manifest({"source": "a"}, {"video": "v"}, {"frames": 30}, ENCODING, CHUNKS, 2.5)


def test_a_manifest_is_stored_whole(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.create()
    assert folder.manifest() is None
    folder.store(MANIFEST)
    assert folder.manifest() == MANIFEST
    assert (MANIFEST.first, MANIFEST.frames) == (0, 30)
    raw = MANIFEST.as_json()
    encoding = {name: value for name, value in ENCODING.items() if name != "chunk_muxer"}
    for damaged in ({name: raw[name] for name in raw if name != "chunks"}, {**raw, "encoding": encoding}):
        write_json(folder.path / "manifest.json", damaged)
        with pytest.raises(VsvfiError, match=r"incomplete.*--restart"):
            folder.manifest()
    write_json(folder.path / "manifest.json", {**raw, "vsvfi_job": 1})
    with pytest.raises(VsvfiError, match=r"not written by this version"):
        folder.manifest()


def test_differences_are_named() -> None:
    before = {"encoder": "libx265", "argument": {"multi": "2"}, "weights": None}
    now = {"encoder": "libx264", "argument": {"multi": "2", "scale": "0.5"}, "weights": "x"}
    assert differences(before, now) == [
        "argument scale was not given and is 0.5",
        "encoder was libx265 and is libx264",
    ]
    assert differences(now, now) == []


def test_a_changed_file_has_another_identity(tmp_path: Path) -> None:
    path = tmp_path / "film.bin"
    path.write_bytes(bytes(10_000_000))
    before = file_identity(path)
    assert before == file_identity(path)
    with open(path, "r+b") as file:
        file.seek(9_999_999)
        file.write(b"x")
    assert file_identity(path) != before
    with pytest.raises(VsvfiError, match="cannot be read"):
        file_identity(tmp_path / "missing")


def test_one_of_many_files_that_is_added_removed_or_replaced_is_noticed(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(200)]
    for number, path in enumerate(files):
        path.write_bytes(bytes(100 + number % 3))
    before = files_identity(files)
    assert before == files_identity(files)
    assert files_identity(files[:-1]) != before
    assert files_identity([*files[:7], *files[8:], files[7]]) != before
    files[199].write_bytes(b"x" * 101)  # of the same size, among those whose content is read
    assert files_identity(files) != before
    files[3].unlink()
    with pytest.raises(VsvfiError, match=r"3\.png cannot be read"):
        files_identity(files)


def test_uploaded_images_belong_to_the_job(tmp_path: Path) -> None:
    """Each is stored before the manifest; the folder is then one with files of the job alone."""
    images = [str(tmp_path / name) for name in ("a_1.v2.png", "a_2.v2.png")]
    work = {"video": images[0], "images": images, "arguments": {}, "filter": None}
    transfer = Transfer(None, "job", Manifest({}, work, {}, {}, (), 1.0))
    for name in transfer.names:
        (tmp_path / name).touch()
    assert len(transfer.names) == 2
    JobFolder(tmp_path).create()
    (tmp_path / "other.png").touch()
    with pytest.raises(VsvfiError, match="contains other files"):
        JobFolder(tmp_path).create()


def test_a_chunk_is_done_when_its_file_is_as_stated(tmp_path: Path) -> None:
    folder, chunk = JobFolder(tmp_path / "job"), CHUNKS[0]
    folder.create()
    assert folder.done(chunk, "matroska") is None
    folder.chunk_file(chunk, "matroska").write_bytes(b"1234")
    assert folder.done(chunk, "matroska") is None
    folder.set_state(chunk, State("done", frames=10, bytes=4))
    assert folder.done(chunk, "matroska") is not None
    folder.chunk_file(chunk, "matroska").write_bytes(b"123")
    assert folder.done(chunk, "matroska") is None
    folder.set_state(chunk, State("failed", error="why"))
    assert folder.done(chunk, "matroska") is None


def test_only_the_jobs_own_files_are_removed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "film.mkv").write_bytes(b"mine")
    with pytest.raises(VsvfiError, match="contains other files"):
        JobFolder(other).create()
    folder = JobFolder(tmp_path / "job")
    folder.create()
    folder.store(MANIFEST)
    folder.chunk_file(CHUNKS[0], "mp4").write_bytes(b"1")
    folder.log("cuda:0").write_bytes(b"1")
    (folder.path / "notes.txt").write_text("mine")
    (folder.path / "chunks" / "mine.mkv").write_text("mine")
    folder.create()
    with folder.locked():
        folder.remove()
    left = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*")}
    assert left == {"notes.txt", "chunks", "chunks/mine.mkv"}


def test_a_job_is_held_by_one_process(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.create()
    with folder.locked(), pytest.raises(VsvfiError, match="in use by another render"), JobFolder(tmp_path).locked():
        pass
    with folder.locked():
        pass


def test_a_full_disk_keeps_the_stored_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"a": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(VsvfiError, match=r"No space left on device.*run the same command"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_three_tries_and_fewer_streams_without_memory() -> None:
    lack, fault = Failure("", memory=True), Failure("")
    second = next_try(Try(), lack, 8)
    assert second == Try(2, 4)
    assert next_try(second, lack, 8) == Try(3, 2)
    assert next_try(Try(), lack, None) == Try(2, 1)
    assert next_try(Try(2, 4), fault, 8) == Try(3, 4)
    assert next_try(Try(3), fault, None) is None


def test_progress_counts_what_is_done_and_what_is_under_way() -> None:
    now = [0.0]
    progress = Progress(CHUNKS, CHUNKS[:1], clock=lambda: now[0])
    progress.waiting("b")
    progress.started("a", CHUNKS[1])
    now[0] = 2.0
    progress.advanced("a", 6, 3.0)
    values = progress.values()
    assert (values["frames_done"], values["frames"], values["frames_per_second"]) == (16, 30, 3.0)
    assert values["seconds_left"] == pytest.approx(14 / 3, abs=0.1)
    assert progress.text() == "1 of 3 chunks done, frame 16/30, 3.00 frames/s, 0:05 left | b: idle, a: chunk 2 at 40 %"
    progress.finished("a", CHUNKS[1])
    progress.failed("b", CHUNKS[2], for_good=True)
    assert progress.values()["chunks_failed"] == [3]
    assert progress.values()["chunks_done"] == 2
    assert (clock_time(61.4), clock_time(3723)) == ("1:01", "1:02:03")


@pytest.mark.parametrize(
    ("encoder", "more", "target"),
    [
        ("libx265", "", None),
        ("libx264", "-b:v 5M", "-b:v 5M"),
        ("libx265", "-x265-params aq-mode=3:bitrate=5000", "-x265-params bitrate=5000"),
        ("libx265", "-x265-params aq-mode=3", None),
        ("libvpx-vp9", "-b:v 0", None),
        ("h264_nvenc", "", "h264_nvenc without a quality"),
        ("h264_nvenc", "-cq 20", None),
        ("mpeg4", "-q:v 3", None),
        ("libsvtav1", "-svtav1-params rc=1", "-svtav1-params rc=1"),
    ],
)
def test_a_bitrate_is_told_from_a_quality(encoder: str, more: str, target: str | None) -> None:
    assert bitrate_target(encoder, crf=False, more=more.split()) == target


def test_chunks_are_values() -> None:
    assert dataclasses.asdict(CHUNKS[1]) == {"number": 2, "first": 10, "last": 24}
    assert str(Chunk(2, 10, 24)) == "chunk 2 (frames 10 to 24)"


def test_a_chunk_goes_where_it_has_not_failed() -> None:
    chunk, places = Chunk(1, 0, 9), Places()
    places.failed(chunk, "a", Failure("no memory", memory=True))
    assert places.suits(chunk, "a", {"a", "b"})
    places.failed(chunk, "a", Failure("the disk is full"))
    assert [places.suits(chunk, name, {"a", "b"}) for name in "ab"] == [False, True]
    assert places.suits(Chunk(2, 10, 19), "a", {"a", "b"})
    assert places.suits(chunk, "a", {"a"})  # the other one has gone
    places.failed(chunk, "b", Failure("the disk is full"))
    assert places.suits(chunk, "a", {"a", "b"})
