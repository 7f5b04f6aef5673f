"""Plan a job: find out what it depends on, where its chunks begin, and how long it takes."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsvfi import options
from vsvfi.cli.chain import evaluate
from vsvfi.cli.chunk import read_script, render_chunk
from vsvfi.cli.output import Output
from vsvfi.cli.programs import Encoder
from vsvfi.cli.source import Source
from vsvfi.cli.versions import versions
from vsvfi.errors import ArgumentError
from vsvfi.jobs.chunks import Chunk, from_starts
from vsvfi.jobs.folder import JobFolder, chunk_muxer
from vsvfi.jobs.manifest import Manifest, file_identity
from vsvfi.jobs.progress import clock_time
from vsvfi.media.encoding import Facts, Part, Quality, container
from vsvfi.models.registry import find
from vsvfi.weights.fetch import installed

_PLACES = frozenset({"device", "streams", "cache"})
"""Arguments of `interpolate()` that change where and how fast frames are computed, not their content."""

_SAMPLE_SECONDS, _SAMPLE_FRAMES = 5.0, (16, 240)


@dataclass(frozen=True, slots=True)
class Request:
    """What the user wants.

    Attributes:
        source: what to render.
        output: the file to write.
        arguments: of `interpolate()`.
        part: the output frames.
        quality: of the encoder.
        requests: of vspipe.
    """

    source: Source
    output: Path
    arguments: Mapping[str, Any]
    part: Part
    quality: Quality
    requests: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        given = {
            "video": os.path.realpath(self.source.path),
            "steps": self.source.identity(),
            "output": os.path.realpath(self.output),
            "arguments": self.arguments,
            "part": None if self.source.trim else dataclasses.astuple(self.part),
            "quality": dataclasses.astuple(self.quality),
        }
        plain: dict[str, Any] = json.loads(json.dumps(given, default=str))
        return plain


@dataclass(frozen=True, slots=True)
class Prepared:
    """How a request is carried out on this machine.

    Attributes:
        encoder: the program and the encoder.
        more: checked encoder options.
        work: the job of render.vpy.
    """

    encoder: Encoder
    more: tuple[str, ...]
    work: Mapping[str, Any]

    def work_in(self, folder: Path) -> dict[str, Any]:
        """Return the job of render.vpy with files in the job's folder, which outlive this process."""
        video = Path(self.work["video"])
        if video.is_symlink() and video.name.startswith("source"):  # a readable name in a temporary folder
            link = folder / video.name
            if not link.is_symlink():
                link.symlink_to(os.readlink(video))
            video = link
        return {**self.work, "video": str(video), "index": str(folder / "index.lwi")}


def identity(request: Request, prepared: Prepared) -> dict[str, Any]:
    """Return what must not change between two runs of a job."""
    return {
        "source": request.source.content(),
        "trim, filter or timecodes": request.source.identity() or "none",
        "argument": {
            name: str(value) for name, value in sorted(request.arguments.items()) if name not in _PLACES | {"weights"}
        },
        "first frame": request.part.first,
        "last frame": "the end" if request.part.last is None else request.part.last,
        "weights": _weights(request.arguments),
        "format": container(request.output),
        "encoder": prepared.encoder.name,
        "encoder setting": {
            "crf": "default" if request.quality.crf is None else request.quality.crf,
            "preset": request.quality.preset or "default",
            "more": request.quality.more,
        },
        "version of": versions(prepared.encoder),
    }


def make_plan(
    request: Request, prepared: Prepared, folder: JobFolder, claimed: Output, seconds: float | None
) -> Manifest:
    """Evaluate the script once, measure its speed, and divide its output at scene changes.

    Args:
        seconds: duration of a chunk, None to choose it by the speed.

    Raises:
        VsvfiError: the script fails.
    """
    script, job, facts_file = (claimed.scratch / name for name in ("script.vpy", "job.json", "facts.json"))
    work = prepared.work_in(folder.path)
    survey = {
        "first": request.part.first,
        "last": request.part.last,
        "seconds": seconds,
        "scene": request.arguments.get("scene", "auto"),
        "threshold": request.arguments.get("scene_threshold"),
    }
    script.write_text(read_script(), encoding="utf-8")
    job.write_text(
        json.dumps(
            {
                **work,
                "part": [request.part.first, request.part.last],
                "facts": str(facts_file),
                "survey": survey,
                "parent": os.getpid(),
            }
        ),
        encoding="utf-8",
    )
    raw = dict(evaluate(script, {"job": str(job)}, facts_file, claimed.scratch))
    found = raw.pop("survey")
    if not found["starts"]:
        raise ArgumentError(
            "start",
            request.part.first,
            f"the output has {raw['frames']} frames, numbered from 0",
            "choose a part inside it",
        )
    muxer = container(claimed.path)
    return Manifest(
        identity=identity(request, prepared),
        work=work,
        facts=raw,
        encoding={
            "output": str(claimed.path),
            "muxer": muxer,
            "chunk_muxer": chunk_muxer(muxer),
            "encoder": prepared.encoder.name,
            "crf": request.quality.crf,
            "preset": request.quality.preset,
            "more": list(prepared.more),
            "requests": request.requests,
        },
        chunks=from_starts(found["starts"], found["last"]),
        speed=found["speed"],
    )


def describe_plan(
    request: Request, prepared: Prepared, claimed: Output, seconds: float | None, *, as_json: bool, job: Path
) -> None:
    """Print the plan of a job: chunks, time and disk, from a short sample that is rendered and encoded.

    Args:
        job: where the job is or would be.
    """
    folder = JobFolder(claimed.scratch / "plan")
    folder.create()
    manifest = JobFolder(job).manifest() or make_plan(request, prepared, folder, claimed, seconds)
    facts, muxer = Facts.parse(manifest.facts), manifest.encoding["chunk_muxer"]
    lowest, highest = _SAMPLE_FRAMES
    wanted = max(lowest, min(math.ceil(manifest.speed * _SAMPLE_SECONDS), highest))
    middle = manifest.first + manifest.frames // 2
    sample = Chunk(1, middle, min(middle + wanted, manifest.first + manifest.frames) - 1)
    began = time.monotonic()
    outcome = render_chunk(folder, manifest, sample, {}, "plan")
    state = folder.state(sample)
    assert state is not None
    assert outcome is not None
    starting = max(time.monotonic() - began - outcome.running, 0.0)
    speed = sample.frames / max(outcome.running, 1e-6)
    done = [chunk for chunk in manifest.chunks if JobFolder(job).done(chunk, muxer)]
    left = manifest.frames - sum(chunk.frames for chunk in done)
    size = state.bytes / sample.frames * manifest.frames
    values = {
        "event": "plan",
        "frames": manifest.frames,
        "rate": str(facts.rate),
        "chunks": [dataclasses.asdict(chunk) for chunk in manifest.chunks],
        "chunks_done": len(done),
        "frames_per_second": round(speed, 3),
        "seconds": round(left / speed + starting * (len(manifest.chunks) - len(done)), 1),
        "bytes": round(size),
        "bytes_while_joining": round(2 * size),
    }
    _print_plan(values, as_json=as_json)


def _print_plan(values: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a plan."""
    if as_json:
        print(json.dumps(values))
        return
    for chunk in values["chunks"]:
        print(f"chunk {chunk['number']}: frames {chunk['first']} to {chunk['last']}")
    print(
        f"{len(values['chunks'])} chunks ({values['chunks_done']} done), {values['frames']} frames at {values['rate']} "
        f"fps; about {clock_time(values['seconds'])} at {values['frames_per_second']:.2f} frames/s on one worker; "
        f"about {_size(values['bytes'])} of video, {_size(values['bytes_while_joining'])} while it is joined"
    )


def _weights(arguments: Mapping[str, Any]) -> str | None:
    """Return the identity of the weights, None where they are not installed yet."""
    checked = options.parse(**arguments)
    path = checked.weights or installed(find(checked.model)[1].sources)
    return None if path is None else file_identity(path)


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
