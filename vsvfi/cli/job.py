"""`vsvfi render` as a job: plan chunks, render those that are missing, join them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from vsvfi.cli.chain import Outcome
from vsvfi.cli.console import say
from vsvfi.cli.job_options import JobOptions, local_workers
from vsvfi.cli.job_plan import Prepared, Request, describe_plan, identity, make_plan
from vsvfi.cli.job_progress import Shown
from vsvfi.cli.join import join
from vsvfi.cli.marker import identity as file_id
from vsvfi.cli.marker import is_file
from vsvfi.cli.output import Output
from vsvfi.cli.summary import Summary, summarise
from vsvfi.errors import VsvfiError
from vsvfi.jobs.chunks import Chunk
from vsvfi.jobs.folder import JobFolder, State
from vsvfi.jobs.local import Setting, run_locally
from vsvfi.jobs.manifest import Manifest, differences
from vsvfi.jobs.progress import Progress
from vsvfi.jobs.retry import Failure, Try
from vsvfi.jobs.worker import ChunkProcess, Worker, chunk_command
from vsvfi.media.constant import bitrate_target
from vsvfi.media.encoding import Facts
from vsvfi.media.probe import Media

LONG, LONG_WORK = 300, 600
"""Seconds of a source, and estimated seconds of work, from which on a render is a job by default."""


def is_job(
    options: JobOptions, output: Path, media: Media, encoder: str, more: Sequence[str], *, crf: bool, work: float
) -> bool:
    """Decide whether a render is a job: because it is asked for, was begun as one, or is long.

    Args:
        options: of the command.
        output: the file to write.
        media: the source.
        encoder, more, crf: as for `bitrate_target`.
        work: estimated seconds.

    Raises:
        VsvfiError: it is asked for, with an encoder that has a bitrate to keep.
    """
    if options.never:
        if options.joined:
            raise VsvfiError("--vfr sets the frames' times when chunks are joined; leave out --no-job")
        return False
    asked = options.requested or options.joined or (options.place(output) / "manifest.json").exists()
    if not asked and media.frames / media.rate < LONG and work < LONG_WORK:
        return False
    target = bitrate_target(encoder, crf=crf, more=more)
    if target is None:
        return True
    if asked:
        raise VsvfiError(
            f"a job's chunks are encoded one by one, and a bitrate ({target}) is kept only over a whole file; give a "
            "quality (--crf), or render in one go with --no-job"
        )
    say(f"rendering in one go, which cannot be resumed: {target} is kept only over a whole file; --crf sets a quality")
    return False


def finished_before(options: JobOptions, output: Path, request: Request) -> Summary | None:
    """Return the summary of a job that was killed between naming its output and removing its folder, and remove it."""
    if options.never:
        return None
    folder = JobFolder(options.place(output))
    result = folder.result()
    path = Path(os.path.realpath(output))
    if result is None or result["request"] != request.as_json() or not is_file(path, result["file"]):
        return None
    with folder.locked():
        with Output(output, overwrite=True):
            pass  # removes what the killed render left beside the output
        folder.remove()
    return Summary(**result["summary"])


def run_job(request: Request, prepared: Prepared, claimed: Output, options: JobOptions) -> Summary | None:
    """Render a job, continuing where an earlier run stopped.

    Args:
        request: what to render.
        prepared: how.
        claimed: the output.
        options: of the job.

    Returns:
        None if only the plan was asked for.

    Raises:
        VsvfiError: a chunk failed for good, the job is another one, or another process runs it.
    """
    if options.plan:
        describe_plan(
            request, prepared, claimed, options.seconds, as_json=options.json, job=options.place(claimed.path)
        )
        return None
    folder = JobFolder(options.place(claimed.path))
    folder.create()
    with folder.locked():
        manifest = _opened(request, prepared, folder, claimed, options)
        began = time.monotonic()
        try:
            rendered = _render(folder, manifest, options)
        except KeyboardInterrupt:
            say(_how_to_resume(folder, manifest))
            raise
        facts = Facts.parse(manifest.facts)
        outcome = Outcome(manifest.frames, time.monotonic() - began, time.monotonic() - began)
        speed = round(rendered / max(outcome.running, 1e-6), 2)
        model = str(request.arguments.get("model", "builtin"))
        summary = dataclasses.replace(
            summarise(
                *(claimed.given, model, manifest.encoding["encoder"], facts, outcome, request.part),
                times=[Fraction(time) for time in manifest.work["times"]],
            ),
            frames_per_second=speed,
        )
        unfinished = join(folder, manifest, manifest.chunks, claimed, request.part)
        folder.set_result(
            {
                "request": request.as_json(),
                "file": list(file_id(os.stat(unfinished))),
                "summary": dataclasses.asdict(summary),
            }
        )
        claimed.publish()
        folder.remove()
    return summary


def _opened(request: Request, prepared: Prepared, folder: JobFolder, claimed: Output, options: JobOptions) -> Manifest:
    """Return the manifest of the job in a folder: the stored one if it is the same job, else a new one.

    Raises:
        VsvfiError: it is another job.
    """
    if options.restart:
        folder.forget()
    stored = folder.manifest()
    if stored is None:
        say("planning: measuring the speed and looking for scene changes")
        manifest = make_plan(request, prepared, folder, claimed, options.seconds)
        folder.store(manifest)
        say(f"{len(manifest.chunks)} chunks in {str(folder.path)!r}; after an interruption, the same command resumes")
        return manifest
    changed = differences(stored.identity, identity(request, prepared))
    if changed:
        raise VsvfiError(
            f"job {str(folder.path)!r} was started with other settings: {'; '.join(changed)}. Use the same settings "
            "to resume, or --restart to start again"
        )
    work = prepared.work_in(folder.path)
    manifest = dataclasses.replace(
        stored, work={**stored.work, **work}, encoding={**stored.encoding, "requests": request.requests}
    )
    folder.store(manifest)
    muxer = manifest.encoding["chunk_muxer"]
    for chunk in folder.discard_damaged(manifest.chunks, muxer):
        say(f"{chunk} was damaged after it had been finished; it is rendered again")
    done = sum(folder.done(chunk, muxer) is not None for chunk in manifest.chunks)
    say(f"resuming {str(folder.path)!r}: {done} of {len(manifest.chunks)} chunks are done")
    return manifest


def _render(folder: JobFolder, manifest: Manifest, options: JobOptions) -> int:
    """Render the missing chunks; returns the number of their frames.

    Raises:
        VsvfiError: some failed for good; the others are done.
    """
    muxer = manifest.encoding["chunk_muxer"]
    done = [chunk for chunk in manifest.chunks if folder.done(chunk, muxer)]
    missing = [chunk for chunk in manifest.chunks if chunk not in done]
    if not missing:
        return 0
    progress = Progress(manifest.chunks, done)
    streams = manifest.work["arguments"].get("streams")
    with Shown(json=options.json) as shown:
        setting = Setting(shown, streams if isinstance(streams, int) else None)
        failed = _distribute(folder, manifest, missing, progress, setting, options)
    with contextlib.suppress(VsvfiError):  # a full disk, which the failures name
        for chunk, failure in failed.items():
            folder.set_state(chunk, State("failed", error=failure.reason))
    if failed:
        named = "; ".join(f"{chunk}: {failure.reason}" for chunk, failure in failed.items())
        raise VsvfiError(
            f"{len(failed)} of {len(manifest.chunks)} chunks failed, the others are done. {named}. "
            + _how_to_resume(folder, manifest)
        )
    return sum(chunk.frames for chunk in missing)


def _distribute(
    folder: JobFolder,
    manifest: Manifest,
    missing: Sequence[Chunk],
    progress: Progress,
    setting: Setting,
    options: JobOptions,
) -> Mapping[Chunk, Failure]:
    if options.scheduler is not None:
        from vsvfi.jobs.cluster import run_on_cluster

        return run_on_cluster(options.scheduler, folder, manifest, missing, progress, setting, upload=options.upload)

    def start(worker: Worker, chunk: Chunk, current: Try) -> ChunkProcess:
        command = chunk_command(folder.path, chunk, worker, current)
        return ChunkProcess(command, folder.log(worker.name), worker.threads)

    return run_locally(missing, local_workers(options.workers), start, progress, setting)


def _how_to_resume(folder: JobFolder, manifest: Manifest) -> str:
    muxer = manifest.encoding["chunk_muxer"]
    done = sum(folder.done(chunk, muxer) is not None for chunk in manifest.chunks)
    return (
        f"{done} of {len(manifest.chunks)} chunks are kept: run the same command to resume, or "
        f"'vsvfi join {folder.path}' to make a file of what is finished"
    )
