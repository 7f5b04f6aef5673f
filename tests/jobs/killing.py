"""Kill one program of a job at random moments: `python -m tests.jobs.killing`.

A run that fails is followed by the same command; one that does the killed program's work again must succeed itself.
The frames of the finished file must equal those of an uninterrupted run, and nothing else may be left beside it. The
programs are found among the children of a run: vsvfi itself, the process of a chunk, vspipe and ffmpeg. "worker" is one
of two workers of a local Dask cluster, which is started again after each kill.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cli.media_files import flash_video
from tests.jobs import fake_render
from tests.jobs.test_job import ARGUMENTS, hashes

PROGRAMS = ("vsvfi", "chunk", "vspipe", "ffmpeg", "worker")


def begin(video: Path, output: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.jobs.fake_render", "render", str(video), "-o", str(output), *ARGUMENTS]
    environment = fake_render.environment(FAKE_DELAY="0.01")
    return subprocess.Popen([*command, *more], stderr=subprocess.PIPE, env=environment)


def descendants(process: int) -> list[int]:
    """Return all processes below one, itself first."""
    found = [process]
    for one in found:
        try:
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
        except OSError:
            continue
    return found


def program_of(process: int) -> str:
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return ""
    name = Path(words[0]).name
    if name in ("vspipe", "ffmpeg") or name.startswith("ffmpeg"):
        return "vspipe" if name == "vspipe" else "ffmpeg"
    return next((word for word, mark in (("chunk", "chunk"), ("vsvfi", "render")) if mark in words[:4]), "")


def kill_once(running: subprocess.Popen[bytes], program: str, after: float) -> bool:
    """Kill a program of a run after some seconds, or when it runs the next time; returns whether it did."""
    until = time.monotonic() + after
    while running.poll() is None:
        time.sleep(0.005)
        if time.monotonic() < until:
            continue
        for process in descendants(running.pid):
            if program_of(process) == program:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    return True
    return False


class Cluster:
    """A Dask scheduler and two workers with the fake script."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        contact = folder / "scheduler.json"
        self._scheduler = self._start("dask_scheduler", "--port", "0", "--scheduler-file", str(contact))
        while not contact.exists() or not contact.read_text().endswith("}"):
            assert self._scheduler.poll() is None
            time.sleep(0.05)
        self.address = str(json.loads(contact.read_text())["address"])
        self._workers = [self._worker(number) for number in range(2)]

    def kill_one(self, number: int) -> None:
        """Kill a worker, and start another one in its place."""
        self._workers[number].kill()
        self._workers[number].wait()
        self._workers[number] = self._worker(number)

    def stop(self) -> None:
        for process in (*self._workers, self._scheduler):
            process.kill()
            process.wait()

    def _worker(self, number: int) -> subprocess.Popen[bytes]:
        place = self._folder / f"worker{number}"
        place.mkdir(exist_ok=True)
        more = ("--no-nanny", "--nthreads", "1", "--name", f"w{number}", "--local-directory", str(place))
        return self._start("dask_worker", self.address, *more, "--preload", "tests.jobs.fake_render")

    def _start(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{command}", "--no-dashboard", *arguments],
            env=fake_render.environment(FAKE_DELAY="0.05"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def kill_worker(running: subprocess.Popen[bytes], cluster: Cluster, number: int, after: float) -> bool:
    """Kill a worker of a cluster some seconds after a run has begun; returns whether it was running."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(after)
    cluster.kill_one(number)
    return running.returncode is None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=30, help="kills of each program")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=6.0, help="seconds after which a kill comes at the latest")
    parser.add_argument("--programs", nargs="+", default=PROGRAMS, choices=PROGRAMS)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        video = flash_video(Path(folder) / "in.mkv", rate="25", seconds=1)
        done = begin(video, whole := Path(folder) / "whole.mkv", "--chunk", "1")
        done.communicate()
        expected = hashes(whole)
        assert len(expected) == 50
        for program in arguments.programs:
            hit = 0
            cluster = Cluster(Path(folder)) if program == "worker" else None
            if cluster is not None:
                atexit.register(cluster.stop)
            where = [] if cluster is None else ["--scheduler", cluster.address]
            for number in range(arguments.moments):
                place = Path(folder) / f"{program}-{number}"
                place.mkdir()
                output = place / "out.mkv"
                moment = chance.uniform(0.1, arguments.longest)
                running = begin(video, output, "--chunk", "1", *where)
                if cluster is None:
                    killed = kill_once(running, program, moment)
                else:
                    killed = kill_worker(running, cluster, number % 2, moment)
                hit += killed
                _, said = running.communicate()
                if running.returncode != 0:  # else it has done the work of the killed program again itself
                    running = begin(video, output, "--chunk", "1", *where)
                    _, said = running.communicate()
                left = [path.name for path in place.iterdir()]
                if running.returncode != 0 or hashes(output) != expected or left != ["out.mkv"]:
                    bad += 1
                    print(f"{program}, {moment:.2f} s: {left}, {said.decode()}", flush=True)
                how = "killed while it ran" if killed else "not running any more"
                print(f"{program} {number + 1}, {moment:.2f} s: {how}, {bad} bad so far", flush=True)
            if cluster is not None:
                cluster.stop()
            print(f"{program}: {arguments.moments} moments, {hit} of them while it ran", flush=True)
    print(f"{bad} outputs differ or left files behind")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
