"""Jobs from end to end with a fake script: resumed, refused, retried, killed, joined, always with the same frames."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.media_files import flash_video, listing, make, packets, run_ffmpeg
from tests.jobs import fake_render
from vsvfi.cli import main
from vsvfi.cli.chunk import render_chunk
from vsvfi.errors import VsvfiError
from vsvfi.jobs.chunks import Chunk
from vsvfi.jobs.folder import JobFolder
from vsvfi.jobs.retry import Try
from vsvfi.jobs.worker import ChunkProcess, Worker
from vsvfi.media.probe import probe

FRAMES = 50
ARGUMENTS = ("--encoder", "ffv1", "--device", "cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flash_video(tmp_path_factory.mktemp("source") / "in.mkv", rate="25", seconds=FRAMES / 2 / 25)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_render.install(monkeypatch.setattr)
    monkeypatch.setenv("PYTHONPATH", fake_render.environment()["PYTHONPATH"])


def hashes(path: Path) -> list[str]:
    done = run_ffmpeg("-v", "error", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-")
    return [line.split(b",")[-1].decode() for line in done.stdout.splitlines() if line[:1].isdigit()]


def render(video: Path, output: Path, *more: object) -> int:
    return main(["render", str(video), "-o", str(output), *ARGUMENTS, *map(str, more)])


def job_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.vsvfi-job")


@pytest.fixture(scope="module")
def whole(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The render in one go, by the same fake script."""
    output = tmp_path_factory.mktemp("whole") / "out.mkv"
    with pytest.MonkeyPatch.context() as patch:
        fake_render.install(patch.setattr)
        patch.setattr("vsvfi.cli.render.read_script", fake_render.script)
        assert render(video, output, "--no-job") == 0
    return output


def test_a_job_equals_a_render_in_one_go(
    fake: None, video: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mkv"
    assert render(video, output, "--workers", 2, "--json") == 0
    assert hashes(output) == hashes(whole)
    assert len(hashes(output)) == FRAMES
    for now, then in zip(packets(output, "0:v:0"), packets(whole, "0:v:0"), strict=True):
        assert now == pytest.approx(then, abs=0.0011)
    assert packets(output, "0:a:0") == packets(whole, "0:a:0")
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(line["chunk"] for line in lines if line.get("event") == "chunk") == [1, 2, 3, 4, 5]
    assert lines[-1]["frames"] == FRAMES


def test_images_make_a_job(fake: None, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "f%02d.png", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", "-frames:v", FRAMES // 2)
    output = tmp_path / "out.mkv"
    assert render(tmp_path, output) == 2
    assert "images have no rate of their own; give one" in capsys.readouterr().err
    last = tmp_path / "f25.png"
    last.rename(tmp_path / "f26.png")
    assert render(tmp_path, output, "--rate", 25) == 1
    assert "lacks the numbers 25 from f01.png on" in capsys.readouterr().err
    assert render(tmp_path / "*.png", output, "--rate", 25, "--gaps", "close", "-e", 15, "--workers", 1) == 0
    assert hashes(output) == hashes(whole)[:16]
    assert not job_of(output).exists()


def test_vfr_keeps_the_times_of_the_source(
    fake: None, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an encoder that reorders frames, audio that begins before them, in a part as well."""
    stamps = [40 * n if n < 10 else 400 + 100 * (n - 10) for n in range(FRAMES // 2)]
    image = "color=size=64x48:rate=25:duration=1,settb=1/1000,setpts='if(lt(N,10),40*N,100*N-600)'"
    audio = "aevalsrc='sin(2764*t)':duration=2"
    video = make(
        *(tmp_path / "in.mkv", "-itsoffset", 0.1, "-f", "lavfi", "-i", image, "-f", "lavfi", "-i", audio),
        *("-fps_mode", "passthrough", "-c:v", "libx264", "-c:a", "flac"),
    )
    source = packets(video, "0:v:0")
    assert [time for time, _ in source] == pytest.approx([0.1 + stamp / 1000 for stamp in stamps], abs=1e-6)
    output = tmp_path / "out.mkv"
    more = ("--vfr", "--encoder", "libx264", "--crf", 0)
    assert render(video, output, *more, "--fps", 60) == 2
    assert render(video, tmp_path / "out.mp4", *more) == 1
    assert render(video, output, *more, "--no-job") == 1
    assert render(video, output, *more, "--multi", "5/2") == 2
    said = capsys.readouterr().err
    for reason in ("--fps sets others", "write .mkv instead", "leave out --no-job", "must be whole with --vfr"):
        assert reason in said
    assert render(video, output, *more) == 0
    assert hashes(output) == hashes(whole)
    found = [time for time, _ in packets(output, "0:v:0")]
    assert found[::2] == pytest.approx([time for time, _ in source], abs=1e-6)
    between = [(time + later) / 2 for time, later in zip(found[::2], [*found[2::2], 2.0], strict=True)]
    assert found[1::2] == pytest.approx(between, abs=0.00051)
    assert sum(packets(output, "0:v:0")[-1]) == pytest.approx(2.0, abs=1e-6)
    assert packets(output, "0:a:0") == packets(video, "0:a:0")
    assert render(video, tmp_path / "part.mkv", *more, "--trim", "0.35-1.05") == 0
    assert hashes(tmp_path / "part.mkv") == hashes(whole)[18:33]  # from 360 ms to 1000 ms
    part = [time for time, _ in packets(tmp_path / "part.mkv", "0:v:0")]
    assert part == pytest.approx([time - found[18] for time in found[18:33]], abs=0.0011)
    assert sum(packets(tmp_path / "part.mkv", "0:v:0")[-1]) == pytest.approx(found[33] - found[18], abs=0.0011)


def test_a_job_in_slow_motion(fake: None, video: Path, whole: Path, tmp_path: Path) -> None:
    """Audio is slowed when the chunks are joined; see tests.media.test_slow_motion."""
    output = tmp_path / "out.mkv"
    assert render(video, output, "--slow", 2, "--chunk", 1, "-e", 23) == 0
    assert hashes(output) == hashes(whole)[:24]
    assert packets(output, "0:v:0")[-1][0] == pytest.approx(23 / 25, abs=0.001)
    assert sum(packets(output, "0:a:0")[-1]) == pytest.approx(24 / 25, abs=0.1)


def test_a_turned_source_is_upright_once(fake: None, video: Path, tmp_path: Path) -> None:
    """The chunks are turned; the joined file does not state the source's display matrix once more."""
    plain = make(tmp_path / "plain.mp4", "-i", video, "-c:v", "libx264", "-c:a", "aac")
    turned = make(tmp_path / "turned.mp4", "-i", plain, "-c", "copy", "-metadata:s:v", "rotate=90")
    if not probe(turned).turn:
        turned = make(tmp_path / "turned.mp4", "-display_rotation", 90, "-i", plain, "-c", "copy")
    output = tmp_path / "out.mp4"
    assert render(turned, output, "--encoder", "libx264", "--crf", 20, "--chunk", 1, "-e", 11) == 0
    assert probe(output).turn == ""
    assert "48x64" in listing(output)


def test_what_fails_is_tried_again_named_and_resumed(
    fake: None, video: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    output = tmp_path / "out.mkv"
    monkeypatch.setenv("FAKE_FAIL", "30")
    monkeypatch.setenv("FAKE_MEMORY", "45")
    assert render(video, output, "--workers", 2) == 1
    said = capsys.readouterr().err
    assert said.count("chunk 3 (frames 24 to 35) failed on worker-") == 3
    assert "it is unlucky; it is left out" in said
    assert "ran out of memory; trying again with streams=1" in said
    assert "1 of 5 chunks failed, the others are done. chunk 3 (frames 24 to 35): vspipe: interpolate: frame 30" in said
    assert "4 of 5 chunks are kept" in said
    assert not output.exists()
    assert {path.name for path in (job_of(output) / "logs").iterdir()} == {"worker-1.log", "worker-2.log"}
    monkeypatch.delenv("FAKE_FAIL")

    assert main(["join", str(job_of(output))]) == 0
    assert "2 of 5 chunks, frames 0 to 23; 2 finished chunks follow a gap" in capsys.readouterr().err
    assert hashes(tmp_path / "out.part.mkv") == hashes(whole)[:24]
    end = sum(packets(tmp_path / "out.part.mkv", "0:a:0")[-1])
    assert abs(end - 24 / 50) < 0.12

    assert render(video, output, "--encoder", "huffyuv", "--crf", 3, "--trim", "0-1") == 1
    said = capsys.readouterr().err
    assert (
        "was started with other settings: encoder was ffv1 and is huffyuv; encoder setting crf was default and" in said
    )
    assert "trim, filter or timecodes was none and is" in said
    assert "--restart" in said

    folder = JobFolder(job_of(output))
    manifest = folder.manifest()
    assert manifest is not None
    for name in ("ffmpeg", "torch", "vsvfi"):
        versions = {**manifest.identity["version of"], name: "another 1"}
        planned = dataclasses.replace(manifest, identity={**manifest.identity, "version of": versions})
        with pytest.raises(VsvfiError, match=rf"planned with another {name} \(another 1, here"):
            render_chunk(folder, planned, manifest.chunks[2], {}, "")

    kept = (job_of(output) / "chunks" / "00001.mkv").stat().st_mtime_ns
    monkeypatch.setenv("FAKE_FAIL", "0")  # chunk 1 is not rendered again
    assert kept == (job_of(output) / "chunks" / "00001.mkv").stat().st_mtime_ns
    assert render(video, output) == 0
    assert hashes(output) == hashes(whole)
    assert not job_of(output).exists()


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_slow_worker_does_the_chunks_of_one_with_a_full_disk(
    fake: None, video: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    output = tmp_path / "out.mkv"
    monkeypatch.setenv("FAKE_SLOW", "worker-1")
    monkeypatch.setenv("FAKE_FULL", "worker-2")
    assert render(video, output, "--workers", 2, "--json", "-e", 35) == 0
    seen = capsys.readouterr()
    assert "failed on worker-2: File too large; free some space" in seen.err
    lines = [json.loads(line) for line in seen.out.splitlines()]
    events = [(line["state"], line["worker"], line["chunk"]) for line in lines if line.get("event") == "chunk"]
    failed = [chunk for state, worker, chunk in events if (state, worker) == ("again", "worker-2")]
    assert failed
    assert len(failed) == len(set(failed))
    assert sorted(chunk for state, worker, chunk in events if (state, worker) == ("done", "worker-1")) == [1, 2, 3]
    assert hashes(output) == hashes(whole)[:36]
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


def test_a_chunk_that_is_damaged_in_its_middle_is_rendered_again(
    fake: None, video: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """By the encoder, and after it had been finished."""
    output = tmp_path / "out.mkv"
    monkeypatch.setenv("FAKE_DAMAGE", "2")
    monkeypatch.setenv("FAKE_FAIL", "30")
    checked = ("--chunk", 1, "--encoder", "libx264", "--crf", 0)
    assert render(video, output, *checked) == 1
    said = capsys.readouterr().err
    assert said.count("chunk 2 (frames 12 to 23) failed on worker: the finished file cannot be decoded") == 1
    monkeypatch.delenv("FAKE_FAIL")
    fake_render.damage(job_of(output) / "chunks" / "00001.mkv")
    assert render(video, output, *checked) == 0
    said = capsys.readouterr().err
    assert "chunk 1 (frames 0 to 11) was damaged after it had been finished; it is rendered again" in said
    assert "3 of 5 chunks are done" in said
    assert hashes(output) == hashes(whole)


def test_a_chunks_process_reports_when_only_the_verification_is_left(
    fake: None, video: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    output, seen = tmp_path / "out.mkv", list[str]()
    monkeypatch.setenv("FAKE_FAIL", "0")
    assert render(video, output, "--chunk", 1, "-e", 5) == 1
    monkeypatch.delenv("FAKE_FAIL")
    command = fake_render.command(job_of(output), Chunk(1, 0, 5), Worker("a"), Try())
    process = ChunkProcess(command, tmp_path / "log")
    failure = process.run(lambda frames, rate: seen.append(f"frame {frames}"), lambda: seen.append("rendered"))
    assert (failure, seen[-1], seen.count("rendered")) == (None, "rendered", 1)


def test_restart_begins_anew(fake: None, video: Path, whole: Path, tmp_path: Path, monkeypatch: Any) -> None:
    output, job = tmp_path / "out.mkv", tmp_path / "here"
    monkeypatch.setenv("FAKE_FAIL", "0")
    assert render(video, output, "--job", job, "--encoder", "huffyuv", "-e", 5) == 1
    monkeypatch.delenv("FAKE_FAIL")
    assert render(video, output, "--job", job, "-s", 4, "-e", 20, "--restart") == 0
    assert hashes(output) == hashes(whole)[4:21]
    assert not job.exists()


def test_a_plan_renders_nothing(fake: None, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render(video, tmp_path / "out.mkv", "--plan", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert [chunk["first"] for chunk in plan["chunks"]] == [0, 12, 24, 36, 48]
    assert plan["bytes"] > 0
    assert plan["seconds"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--no-job", "--workers", "2"], "contradicts"),
        (["--workers", "0"], "must be 1 to 64"),
        (["--workers", "cuda:0,,"], "must be a number or devices"),
        (["--workers", "2", "--scheduler", "tcp://a:1"], "use one of them"),
        (["--upload"], "needs --scheduler"),
        (["--chunk", "1", "--encoder", "mpeg4"], "kept only over a whole file"),
    ],
)
def test_options_that_cannot_work(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    assert render(video, tmp_path / "out.mkv", *extra) in (1, 2)
    assert message in capsys.readouterr().err


def test_join_needs_a_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["join", str(tmp_path)]) == 1
    assert "is not a job folder" in capsys.readouterr().err


def begin(video: Path, output: Path, **more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.jobs.fake_render", "render", str(video), "-o", str(output), *ARGUMENTS]
    environment = fake_render.environment(**more)
    return subprocess.Popen([*command, "--chunk", "1"], stderr=subprocess.PIPE, env=environment)


def test_killed_at_any_moment_and_begun_again(fake: None, video: Path, whole: Path, tmp_path: Path) -> None:
    """See `tests.jobs.killing` for more kills, and kills of the other programs."""
    output = tmp_path / "out.mkv"
    chance = random.Random(19)
    for _ in range(2):
        running = begin(video, output, FAKE_DELAY="0.1")
        time.sleep(chance.uniform(0.5, 3))
        running.send_signal(signal.SIGKILL)
        running.communicate()
        if running.returncode == 0:  # it was done before
            output.unlink()
    assert render(video, output, "--chunk", 1) == 0
    assert hashes(output) == hashes(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


def test_killed_before_the_folder_is_removed(
    fake: None, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mkv"

    def killed(self: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vsvfi.jobs.folder.JobFolder.remove", killed)
        assert render(video, output, "--chunk", 1, "-e", 11) == 130
    assert render(video, output, "--chunk", 1, "-e", 5) == 1
    assert "exists" in capsys.readouterr().err
    assert render(video, output, "--chunk", 1, "-e", 11) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


def test_ctrl_c_of_a_render_in_one_go_says_how_it_could_go_on(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vsvfi.cli.render.run_script", interrupted)
    assert render(video, tmp_path / "out.mkv") == 130
    assert "with --chunk 10 it is a job, which the same command resumes" in capsys.readouterr().err
    assert render(video, tmp_path / "out.mkv", "--no-job") == 130
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_says_how_to_go_on_and_a_second_render_is_refused(
    fake: None, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mkv"
    running = begin(video, output, FAKE_DELAY="0.05")
    manifest = job_of(output) / "manifest.json"
    while not manifest.exists():
        assert running.poll() is None
        time.sleep(0.05)
    assert render(video, tmp_path / "other.mkv", "--job", job_of(output)) == 1
    assert "in use by another render" in capsys.readouterr().err
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert b"run the same command to resume, or 'vsvfi join" in said
    assert {path.name for path in tmp_path.iterdir()} == {job_of(output).name}
