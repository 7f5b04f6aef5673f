"""Render one chunk of a job: `python -m vsvfi.cli.chunk JOB NUMBER`, for the workers of `vsvfi render`.

It prints JSON lines: progress, {"state": "rendered"} before the file is verified, and at the end {"state": "done"} or
{"error": ..., "memory": ...}. It stops when its standard input is closed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.resources
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vsvfi.cli.chain import Outcome, Report, run_chain
from vsvfi.cli.interrupts import interruptible
from vsvfi.cli.output import Output, reason, remedy
from vsvfi.cli.programs import ffmpeg_version, find_encoder
from vsvfi.cli.versions import package_versions
from vsvfi.errors import VsvfiError
from vsvfi.jobs.chunks import Chunk
from vsvfi.jobs.folder import JobFolder, State, file_digest
from vsvfi.jobs.manifest import Manifest, same_version
from vsvfi.media.encoding import Facts, Part, Quality, ffmpeg_arguments
from vsvfi.media.verify import Expected, verify

_MEMORY = re.compile(r"out of memory|not enough memory|memory runs out|Cannot allocate memory|std::bad_alloc", re.I)
_EVERY = 1.0
"""Seconds between reports."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vsvfi.cli.chunk")
    parser.add_argument("job", type=Path)
    parser.add_argument("number", type=int)
    parser.add_argument("--worker", default="")
    parser.add_argument("--try", dest="current", type=int, default=1)
    parser.add_argument("--device")
    parser.add_argument("--streams", type=int)
    arguments = parser.parse_args(argv)
    folder = JobFolder(arguments.job)
    with interruptible():
        threading.Thread(target=_stop_with_input, daemon=True).start()
        try:
            manifest = folder.manifest()
            if manifest is None:
                raise VsvfiError(f"job {str(folder.path)!r} has no manifest")
            chunk = manifest.chunks[arguments.number - 1]
            override = {
                name: value
                for name, value in (("device", arguments.device), ("streams", arguments.streams))
                if value is not None
            }
            render_chunk(
                *(folder, manifest, chunk, override, arguments.worker, arguments.current),
                report=_reporter(),
                rendered=lambda: _print(state="rendered"),
            )
        except VsvfiError as error:
            _print(error=str(error), memory=bool(_MEMORY.search(str(error))))
            return 1
        except OSError as error:
            _print(error=f"{reason(error)}; {remedy(error)}", memory=False)
            return 1
        except KeyboardInterrupt:
            return 130
    _print(state="done")
    return 0


def render_chunk(
    folder: JobFolder,
    manifest: Manifest,
    chunk: Chunk,
    override: Mapping[str, Any],
    worker: str,
    tries: int = 1,
    report: Report | None = None,
    rendered: Callable[[], None] = lambda: None,
) -> Outcome | None:
    """Render and verify a chunk, and name it done.

    Args:
        override: arguments of `interpolate()` for this worker or this try.
        worker: its name.
        tries: number of this try.
        report: takes the progress.
        rendered: called when only the verification is left.

    Returns:
        None if it was complete already.

    Raises:
        VsvfiError: why it failed.
    """
    _check_versions(manifest, package_versions())
    muxer = manifest.encoding["chunk_muxer"]
    target = folder.chunk_file(chunk, muxer)
    facts = Facts.parse(manifest.facts)
    expected = Expected(chunk.frames, facts.rate)
    began = time.monotonic()
    outcome = None

    def check(path: Path) -> None:
        rendered()
        verify(path, expected, whole=True)

    if not _complete(target, expected):
        with Output(target, overwrite=True) as claimed:
            outcome = _render(claimed, manifest, chunk, override, report, check)
    folder.set_state(
        chunk,
        State(
            "done",
            frames=chunk.frames,
            bytes=target.stat().st_size,
            digest=file_digest(target),
            seconds=round(time.monotonic() - began, 2),
            worker=worker,
            tries=tries,
        ),
    )
    return outcome


def _render(
    claimed: Output,
    manifest: Manifest,
    chunk: Chunk,
    override: Mapping[str, Any],
    report: Report | None,
    check: Callable[[Path], None],
) -> Outcome:
    encoding, planned = manifest.encoding, Facts.parse(manifest.facts)
    encoder = find_encoder(encoding["encoder"], encoding["muxer"])
    if encoder.note:
        raise VsvfiError(encoder.note)
    _check_versions(manifest, {"ffmpeg": ffmpeg_version(encoder.ffmpeg)})
    script, job, facts_file = (claimed.scratch / name for name in ("script.vpy", "job.json", "facts.json"))
    work = {
        **manifest.work,
        "arguments": {**manifest.work["arguments"], **override},
        "part": [chunk.first, chunk.last],
        "facts": str(facts_file),
        "parent": os.getpid(),
    }
    script.write_text(read_script(), encoding="utf-8")
    job.write_text(json.dumps(work), encoding="utf-8")
    quality = Quality(encoder.name, encoding["crf"], encoding["preset"])
    part = Part(chunk.first, chunk.last)

    def command(raw: Mapping[str, Any], unfinished: Path) -> Sequence[str]:
        facts = Facts.parse(raw)
        if (facts.width, facts.height, facts.frames, facts.rate, facts.pixels, facts.encoded) != (
            *(planned.width, planned.height, planned.frames, planned.rate, planned.pixels, planned.encoded),
        ):
            raise VsvfiError(
                f"{chunk} has {facts.frames} frames of {facts.width}x{facts.height} {facts.pixels} here instead of "
                f"{planned.frames} of {planned.width}x{planned.height} {planned.pixels}; use the same versions on all "
                "machines"
            )
        options = ffmpeg_arguments(facts, quality, None, part, unfinished, encoding["chunk_muxer"], encoding["more"])
        return [encoder.ffmpeg, *options]

    requests = encoding["requests"]
    return run_chain(
        script,
        {"job": str(job)},
        facts_file,
        command,
        claimed,
        vspipe_options=[] if requests is None else ["-r", str(requests)],
        report=report,
        verify=check,
    )


def _check_versions(manifest: Manifest, found: Mapping[str, str]) -> None:
    """Raise if something has another version than in the plan, as after an update during the job.

    Frames may then differ, and chunks of two ffmpegs may not fit together.
    """
    for name, version in found.items():
        planned = manifest.identity.get("version of", {}).get(name, version)
        if not same_version(planned, version):
            raise VsvfiError(
                f"the job was planned with another {name} ({planned}, here {version}); install the same one"
            )


def read_script() -> str:
    """Return the text of render.vpy."""
    return importlib.resources.files("vsvfi.cli").joinpath("render.vpy").read_text(encoding="utf-8")


def _complete(target: Path, expected: Expected) -> bool:
    """Return whether a chunk was finished by a run that was killed before it recorded that."""
    if not target.is_file():
        return False
    try:
        verify(target, expected, whole=True)
    except VsvfiError:
        return False
    return True


def _reporter() -> Report:
    last = 0.0

    def report(done: int, frames: int, rate: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY or done == frames:
            last = now
            _print(frames_done=done, frames=frames, frames_per_second=rate)

    return report


def _stop_with_input() -> None:
    """Stop this process when standard input is closed: the one that started it has gone, or wants it to end."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 1):  # not sys.stdin, whose lock would be held when the interpreter exits
            pass
    if os.name == "nt":
        signal.raise_signal(signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGTERM)


def _print(**values: Any) -> None:
    with contextlib.suppress(OSError):
        print(json.dumps(values), flush=True)


if __name__ == "__main__":
    sys.exit(main())
