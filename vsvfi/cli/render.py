"""`vsvfi render`: one video file in, one encoded file of a higher frame rate out, with its audio in sync.

vspipe computes the frames and ffmpeg encodes them; see `chain` for the processes, `encoding` for ffmpeg's arguments.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vsvfi import options
from vsvfi.cli.chain import run_chain, say
from vsvfi.cli.checks import check_whole
from vsvfi.cli.chunk import read_script
from vsvfi.cli.encoder_setup import check_slow_audio, encoder_options, formats, report_losses, report_notes
from vsvfi.cli.interrupts import interruptible
from vsvfi.cli.job import finished_before, is_job, run_job
from vsvfi.cli.job_options import JobOptions, add_job_options, job_options
from vsvfi.cli.job_plan import Prepared, Request
from vsvfi.cli.output import Output
from vsvfi.cli.programs import Encoder, find_encoder
from vsvfi.cli.source import Source, add_source_options, source_of
from vsvfi.cli.summary import Summary, describe, progress_line, summarise
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.media.encoding import CONTAINERS, Facts, Part, Quality, Rewriting, container, ffmpeg_arguments, planned
from vsvfi.media.opus import forgets_delay
from vsvfi.media.probe import Media
from vsvfi.media.verify import verify

HELP = "interpolate a video file and encode it with ffmpeg, audio included"

_NAMED = ("model", "multi", "fps", "scale", "device", "precision", "scene", "duplicates", "weights", "runtime")


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
        "long renders", "sources of five minutes and more are rendered in chunks; the same command goes on with them"
    )
    add_job_options(job)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that do not depend on the source; the demo has them too."""
    parser.add_argument("--model", help="builtin (default), or a name from 'vsvfi models'")
    parser.add_argument("--multi", help="frames per source frame: 2 (default), 5/2 ...")
    parser.add_argument("--fps", help="target frame rate instead: 60, 60000/1001 ...")
    parser.add_argument("--scale", type=float, help="resolution of the motion estimation: 1, 0.5 (2K), 0.25 (4K)")
    parser.add_argument("--device", help="auto (default), cpu, cuda, cuda:1 ...")
    parser.add_argument("--precision", help="auto (default), fp32, fp16, bf16")
    parser.add_argument("--runtime", help="auto (default), eager, graph, compile, onnx, onnx:PROVIDER")
    parser.add_argument("--scene", help="scene cuts: auto (default), props, off")
    parser.add_argument("--duplicates", help="identical neighbours: skip (default), retime, off")
    parser.add_argument("--weights", help="a checkpoint file instead of the published one")
    parser.add_argument(
        "-a",
        "--arg",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="any other argument of vsvfi.interpolate(), such as scene_threshold=0.1",
    )
    parser.add_argument("-s", "--start", metavar="N", type=_frame_number, default=0, help="first output frame")
    parser.add_argument("-e", "--end", metavar="N", type=_frame_number, help="last output frame, included")
    parser.add_argument(
        "-r", "--requests", metavar="N", type=_frame_number, help="frames that vspipe requests at the same time"
    )
    parser.add_argument(
        "--encoder",
        default="auto",
        help="any video encoder of ffmpeg (default: libx265, or libx264 where it is missing; libvpx-vp9 for .webm)",
    )
    parser.add_argument(
        "--crf", type=_factor, help="constant rate factor (default: 18 for libx265, 16 for libx264, 24 for libvpx-vp9)"
    )
    parser.add_argument("--preset", help="the encoder's preset")
    parser.add_argument(
        "--encoder-args",
        metavar="OPTIONS",
        default="",
        help='more options of the encoder, as for ffmpeg: --encoder-args="-tune animation -x265-params aq-mode=3"',
    )


def interpolation(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `vsvfi.interpolate()` from the options.

    Raises:
        ArgumentError: two options contradict each other, or one is unknown.
    """
    given = {name: getattr(arguments, name) for name in _NAMED if getattr(arguments, name) is not None}
    extra = extra_arguments(arguments.arg)
    for name in given.keys() & extra.keys():
        raise ArgumentError("arg", f"{name}={extra[name]}", f"--{name} is given too", "give one of them")
    given.update(extra)
    if given.get("multi") is not None and given.get("fps") is not None:
        raise ArgumentError("multi", given["multi"], "cannot be given together with fps=", "give one of them")
    return given


def encoding(arguments: argparse.Namespace) -> Quality:
    """Return the encoder settings from the options."""
    return Quality(arguments.encoder, arguments.crf, arguments.preset, arguments.encoder_args)


def part_of(arguments: argparse.Namespace) -> Part:
    """Return the output frames to render from the options.

    Raises:
        ArgumentError: the last one precedes the first one.
    """
    if arguments.end is not None and arguments.end < arguments.start:
        raise ArgumentError("end", arguments.end, f"lies before start={arguments.start}", "give the later frame as end")
    return Part(arguments.start, arguments.end)


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
        if is_job(job, output, media, encoder.name, more, crf=quality.crf is not None):
            report_notes(encoder, media, container(output))
            work.update(formats(media, encoder, container(output), more))
            return run_job(request, Prepared(encoder, more, work), claimed, job)
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
    return summarise(output.given, str(arguments.get("model", "builtin")), encoder.name, seen[0], outcome)


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
        link.symlink_to(path)
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


def extra_arguments(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse NAME=VALUE pairs; a value is a Python literal if it looks like one, else text."""
    known = inspect.signature(options.parse).parameters
    result: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or name not in known:
            raise ArgumentError(
                "arg", pair, "is not NAME=VALUE of an argument of interpolate()", f"names are {', '.join(known)}"
            )
        if name in result:
            raise ArgumentError("arg", pair, f"{name} is given twice", "give it once")
        try:
            result[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            result[name] = text
    return result


def _frame_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _factor(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return number
