"""`vsvfi render`: one video file in, one encoded file of a higher frame rate out, with its audio in sync.

vspipe computes the frames and ffmpeg encodes them; see `chain` for the processes, `encoding` for ffmpeg's arguments.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsvfi import options
from vsvfi.cli.chain import run_chain
from vsvfi.cli.checks import check_whole
from vsvfi.cli.chunk import read_script
from vsvfi.cli.console import say
from vsvfi.cli.encoder_setup import check_slow_audio, encoder_options, formats, report_losses, report_notes
from vsvfi.cli.interrupts import interruptible
from vsvfi.cli.job import finished_before, is_job, run_job
from vsvfi.cli.job_options import JobOptions, add_job_options, job_options
from vsvfi.cli.job_plan import Prepared, Request
from vsvfi.cli.output import Output
from vsvfi.cli.programs import Encoder, find_encoder
from vsvfi.cli.render_options import add_options, encoding, interpolation, part_of
from vsvfi.cli.source import Source, add_source_options, source_of
from vsvfi.cli.summary import Summary, describe, progress_line, summarise
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.jobs.estimate import estimate_seconds
from vsvfi.media.encoding import CONTAINERS, Facts, Part, Quality, Rewriting, container, ffmpeg_arguments, planned
from vsvfi.media.opus import forgets_delay
from vsvfi.media.probe import Media
from vsvfi.media.verify import verify

HELP = "interpolate a video file and encode it with ffmpeg, audio included"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "video",
        metavar="VIDEO",
        type=Path,
        help="the file to interpolate; or images: a folder, 'shot/*.png' or shot/%%04d.png",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help=f"the file to write: {' '.join(CONTAINERS)}"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    parser.add_argument("--json", action="store_true", help="print progress and a summary for programs on stdout")
    add_options(parser)
    add_source_options(parser)
    job = parser.add_argument_group(
        "long renders", "long renders are made in chunks, with which the same command goes on after an interruption"
    )
    add_job_options(job)


def main(arguments: argparse.Namespace) -> int:
    job = job_options(arguments)
    summary = render(
        source_of(arguments),
        arguments.output,
        interpolation(arguments),
        part=part_of(arguments),
        quality=encoding(arguments),
        requests=arguments.requests,
        overwrite=arguments.overwrite,
        job=job,
    )
    if summary is None:
        return 0
    if arguments.json:
        print(json.dumps(dataclasses.asdict(summary)))
    else:
        say(describe(summary))
    return 0


def render(
    source: Source,
    output: Path,
    arguments: Mapping[str, Any],
    *,
    part: Part = Part(),  # noqa: B008 - immutable
    quality: Quality = Quality("auto"),  # noqa: B008 - immutable
    requests: int | None = None,
    overwrite: bool = False,
    job: JobOptions = JobOptions(never=True),  # noqa: B008 - immutable
) -> Summary | None:
    """Interpolate and encode one file.

    Args:
        source: what to render.
        output: the file to write; it appears only when it is complete.
        arguments: for `vsvfi.interpolate()`.
        part: which output frames.
        quality: the encoder and its settings.
        requests: frames that vspipe requests at the same time, None for one per thread.
        overwrite: an existing output may be replaced.
        job: whether and how it is rendered in chunks.

    Returns:
        None if only a plan was asked for.

    Raises:
        VsvfiError: with the reason and the remedy.
    """
    arguments = source.slowed(arguments)
    checked = options.parse(**arguments)
    check_whole(checked.curve)
    video = source.path
    check_files(video, output)
    arguments = _absolute(arguments)
    request = Request(source, output, arguments, part, quality, requests)
    if (before := finished_before(job, output, request)) is not None:
        return before
    with interruptible(), Output(output, _inputs(source, checked), overwrite=overwrite) as claimed:
        encoder = find_encoder(quality.encoder, container(output))
        readable = readable_name(video, claimed.scratch)
        check_slow_audio(encoder.ffmpeg, source)
        media = source.probe(readable)
        kept = source.kept_times(media, checked, output)
        request = dataclasses.replace(request, part=(part := source.part(part, media, checked)))
        if not media.constant and checked.fps is None and not kept:
            raise ArgumentError(
                "fps",
                None,
                f"{video.name} has a variable frame rate, and a pipe of frames carries one constant rate",
                "give a target rate, for example --fps 60, or keep its times in .mkv with --vfr",
            )
        work = {
            "video": str(readable),
            "images": [] if source.images is None else [str(path) for path in source.images.files],
            "pixels": media.pixels,
            "index": str(claimed.scratch / "index.lwi"),
            "rate": str(media.rate),
            "stream": media.video.index,
            "decoded": media.decoded,
            "hidden": media.hidden,
            "times": [] if kept else [str(time) for time in media.times],
            "kept_times": [str(time) for time in kept],
            "slow": None if source.slow == 1 else [str(source.slow), source.slow_audio],
            "turn": media.turn,
            "held": media.held,
            "decoder": media.decoder,
            "bestsource": str(media.bestsource),
            "filter": None if source.filter is None else os.path.abspath(source.filter),
            "trimmed": source.trim is not None,
            "arguments": arguments,
        }
        more = encoder_options(encoder, quality)
        job = dataclasses.replace(job, joined=bool(kept))
        seconds = _seconds(media, part, checked)
        if is_job(job, output, media, encoder.name, more, crf=quality.crf is not None, work=seconds):
            report_notes(encoder, media, container(output))
            work.update(formats(media, encoder, container(output), more))
            return run_job(request, Prepared(encoder, more, work), claimed, job)
        try:
            return run_script(
                read_script(),
                work,
                claimed,
                part=part,
                quality=quality,
                requests=requests,
                encoder=encoder,
                media=media,
            )
        except KeyboardInterrupt:
            if not job.never:
                say(
                    "nothing is kept of a render in one go; with --chunk 10 it is a job, which the same command resumes"
                )
            raise


def _seconds(media: Media, part: Part, checked: options.Options) -> float:
    """Return about how many seconds a render takes."""
    rate = checked.fps or media.rate * checked.multi
    frames = max(0, part.count(math.ceil(media.frames / media.rate * rate)))
    return estimate_seconds(frames, media.width, media.height, checked.devices[0])


def run_script(
    script: str,
    work: Mapping[str, Any],
    output: Output,
    *,
    part: Part,
    quality: Quality,
    requests: int | None,
    encoder: Encoder,
    media: Media | None,
) -> Summary:
    """Pipe a script that reads a job and writes facts, like render.vpy, through ffmpeg.

    Args:
        script: text of the .vpy.
        work: its job, with the `arguments` of `interpolate()`; `part`, `takes`, `bits` and `facts` are added.
        output: the claimed output.
        media: where audio and subtitles come from, None for none.
    """
    muxer = container(output.path)
    more = encoder_options(encoder, quality)
    report_notes(encoder, media, muxer)
    quality = dataclasses.replace(quality, encoder=encoder.name)
    path, job, facts_file = (output.scratch / name for name in ("script.vpy", "job.json", "facts.json"))
    arguments = _absolute(work["arguments"])
    work = {
        **work,
        **formats(media, encoder, muxer, more),
        "arguments": arguments,
        "part": [part.first, part.last],
        "facts": str(facts_file),
        "parent": os.getpid(),
    }
    _write_job(path, script, job, work)
    seen: list[Facts] = []

    def command(raw: Mapping[str, Any], unfinished: Path) -> Sequence[str]:
        facts = Facts.parse(raw)
        seen.append(facts)
        if part.count(facts.frames) < 1:
            raise ArgumentError(
                "start", part.first, f"the output has {facts.frames} frames, numbered from 0", "choose a part inside it"
            )
        if part.last is not None and part.last >= facts.frames:
            say(f"the output ends with frame {facts.frames - 1}, before end={part.last}")
        if media is not None:
            report_losses(media, muxer, encoder, facts)
        forgets = forgets_delay(encoder.ffmpeg, muxer) if media is not None and media.audio else False
        rewriting = Rewriting(output.scratch, forgets)
        options = ffmpeg_arguments(facts, quality, media, part, unfinished, muxer, more, rewriting)
        return [encoder.ffmpeg, *options]

    outcome = run_chain(
        path,
        {"job": str(job)},
        facts_file,
        command,
        output,
        vspipe_options=[] if requests is None else ["-r", str(requests)],
        report=progress_line(),
        verify=lambda path: verify(path, planned(seen[0], media, part, muxer)),
    )
    return summarise(
        *(output.given, str(arguments.get("model", "builtin")), encoder.name, seen[0], outcome, part),
        times=[Fraction(time) for time in work.get("times", ())],
    )


def _absolute(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make the path of weights independent of the working folder."""
    if arguments.get("weights") is None:
        return arguments
    return {**arguments, "weights": os.path.abspath(os.path.expanduser(arguments["weights"]))}


def check_files(video: Path, output: Path) -> None:
    """Raise, before any program is started, if the source cannot be read or the format is unknown.

    Raises:
        VsvfiError: with the remedy.
    """
    if not os.path.isfile(video):
        raise VsvfiError(f"{video} is not a file; give the video to interpolate")
    if os.path.isdir(output):
        raise VsvfiError(f"output {str(output)!r} is a folder; give the name of a file in it")
    container(output)


def readable_name(video: Path, scratch: Path) -> Path:
    """Return a path of a file that is text and that no program takes for an option or a protocol."""
    path = Path(os.path.abspath(video))
    try:
        str(path).encode()
    except UnicodeEncodeError:  # not UTF-8; source filters accept only text
        suffix = path.suffix if path.suffix.isascii() else ""
        link = scratch / f"source{suffix}"
        try:
            link.symlink_to(path)
        except OSError as error:  # Windows without the privilege
            raise VsvfiError(f"{video}'s name is no text ({error.strerror}); rename it") from error
        return link
    return path


def _inputs(source: Source, checked: options.Options) -> list[Path]:
    return [*source.files(), *([] if checked.weights is None else [checked.weights])]


def _write_job(path: Path, script: str, job: Path, work: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(work)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(
            "arg", work["arguments"], f"holds a value that cannot be passed on ({error})", "use numbers, text, lists"
        ) from None
    try:
        path.write_text(script, encoding="utf-8")
        job.write_text(text, encoding="utf-8")
    except OSError as error:
        raise VsvfiError(
            f"the folder for temporary files {str(path.parent)!r} cannot be written ({error.strerror}); free some "
            "space, or set TMPDIR to another folder"
        ) from error
