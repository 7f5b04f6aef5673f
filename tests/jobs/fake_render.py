"""`vsvfi render` and its chunks with a script that draws numbered frames: no network, so that a chunk takes a second.

`python -m tests.jobs.fake_render render ...` or `... chunk ...`; the variables FAKE_DELAY (seconds per frame),
FAKE_FAIL (frames that fail) and FAKE_MEMORY (frames that fail unless streams=1) make it slow or fail; FAKE_SLOW and
FAKE_FULL name a worker that takes 0.15 s per frame, and one whose files cannot grow, as on a full disk; FAKE_DAMAGE is
the number of a chunk whose file is damaged in its middle when it is tried first.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av

import vsvfi.cli.chunk
import vsvfi.cli.job
import vsvfi.cli.job_plan
import vsvfi.jobs.remote
from vsvfi.cli import main
from vsvfi.jobs.chunks import Chunk
from vsvfi.jobs.retry import Try
from vsvfi.jobs.worker import Worker, chunk_command

SCRIPT = """
import json, os, time
from fractions import Fraction
from pathlib import Path
import vapoursynth as vs
from vsvfi.cli.scripting import exit_with_parent

job = json.loads(Path(globals()["job"]).read_text(encoding="utf-8"))
exit_with_parent(job["parent"])
rate, frames = 2 * Fraction(job["rate"]), 2 * job["decoded"]
clip = vs.core.std.BlankClip(
    width=64, height=48, format=vs.YUV420P8, length=frames, fpsnum=rate.numerator, fpsden=rate.denominator, keep=True
)

def draw(n, f):
    time.sleep(float(os.environ.get("FAKE_DELAY", "0")))
    if str(n) in os.environ.get("FAKE_FAIL", "").split(","):
        raise vs.Error(f"interpolate: frame {n}: it is unlucky")
    if str(n) in os.environ.get("FAKE_MEMORY", "").split(",") and job["arguments"].get("streams") != 1:
        raise vs.Error(f"interpolate: frame {n}: cpu ran out of memory")
    out = f.copy()
    for plane in range(3):
        view = memoryview(out[plane])
        for x in range(view.shape[1]):
            view[0, x] = (n * (plane + 3) + 7 * x) % 256
    return out

clip = clip.std.ModifyFrame(clip, draw)
if "t" in job["turn"]:
    clip = clip.std.Transpose()
facts = {
    "width": clip.width, "height": clip.height, "frames": frames, "rate": str(rate),
    "pixels": "yuv420p", "encoded": "yuv420p", "source_frames": frames // 2,
    "source_rate": job["rate"], "chroma_420": True, "props": {}, "device": "fake",
}
if job.get("survey"):
    first, last = job["survey"]["first"], job["survey"]["last"]
    last = frames - 1 if last is None else last
    facts["survey"] = {"starts": list(range(first, last + 1, 12)), "last": last, "speed": 100.0}
part = Path(job["facts"] + ".part")
part.write_text(json.dumps(facts))
os.replace(part, job["facts"])
first, last = job["part"]
clip.std.Trim(first=first, last=frames - 1 if last is None else last).set_output()
"""


def script() -> str:
    return SCRIPT


def command(job: Path, chunk: Chunk, worker: Worker, current: Try) -> list[str]:
    real = chunk_command(job, chunk, worker, current)
    return [sys.executable, "-m", "tests.jobs.fake_render", "chunk", *real[3:]]


def environment(**more: str) -> Mapping[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join((root, os.environ.get("PYTHONPATH", ""))), **more}


def install(patch: Any = setattr) -> None:
    """Replace the script and the command; `patch` is setattr or that of pytest's monkeypatch."""
    patch(vsvfi.cli.chunk, "read_script", script)
    patch(vsvfi.cli.job_plan, "read_script", script)
    patch(vsvfi.cli.job, "chunk_command", command)
    patch(vsvfi.jobs.remote, "chunk_command", command)


def dask_setup(worker: object) -> None:
    """What `dask worker --preload tests.jobs.fake_render` calls."""
    install()


def hinder(worker: str) -> None:
    """Make this process slow, or let its files and those of its programs not grow beyond 5 KiB."""
    if worker == os.environ.get("FAKE_SLOW"):
        os.environ["FAKE_DELAY"] = "0.15"
    if worker == os.environ.get("FAKE_FULL"):
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5120, 5120))


def damage(path: Path) -> None:
    """Overwrite a frame in the middle of a file."""
    with av.open(str(path)) as opened:
        packets = [bytes(packet) for packet in opened.demux(video=0) if packet.size]
    packet, data = packets[len(packets) // 2], path.read_bytes()
    path.write_bytes(data.replace(packet, b"U" * len(packet), 1))


def damage_first(number: str, current: str) -> None:
    """Damage the file of the chunk that FAKE_DAMAGE names, in its first try, before it is verified."""
    verify = vsvfi.cli.chunk.verify
    if number != os.environ.get("FAKE_DAMAGE") or current != "1":
        return

    def damaged(path: Path, *given: Any, **named: Any) -> None:
        damage(path)
        verify(path, *given, **named)

    vsvfi.cli.chunk.verify = damaged


if __name__ == "__main__":
    install()
    what, *rest = sys.argv[1:]
    if "--worker" in rest:
        hinder(rest[rest.index("--worker") + 1])
    if what == "chunk":
        damage_first(rest[1], rest[rest.index("--try") + 1])
    sys.exit(vsvfi.cli.chunk.main(rest) if what == "chunk" else main([what, *rest]))
