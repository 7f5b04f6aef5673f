"""`vsvfi render`: one video file in, one encoded file of a higher frame rate out, with its sound in sync. vspipe and ffmpeg do the work.

Knows how to ask for a job, not how frames are made (`clip`), how programs are run (`chain`) or what ffmpeg is told (`encoding`).
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib.resources
import inspect
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsvfi import options
from vsvfi.cli.chain import Outcome, partial, run_chain
from vsvfi.cli.codecs import sound_notes
from vsvfi.cli.encoding import CONTAINERS, Facts, Part, Quality, container, ffmpeg_arguments
from vsvfi.cli.media import Media, probe
from vsvfi.cli.programs import Encoder, find_encoder
from vsvfi.errors import ArgumentError, VsvfiError

HELP = "interpolate a video file and encode it with ffmpeg, sound included"

_NAMED = ("model", "multi", "fps", "scale", "device", "precision", "scene", "duplicates", "weights")
_DEPTHS = {"libx265": 12}
"""Bits per sample that an encoder can take; 10 for the others."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a render did."""

    output: str
    model: str
    device: str
    encoder: str
    source_frames: int
    source_rate: str
    frames: int
    rate: str
    seconds: float
    frames_per_second: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", type=Path, help="the file to interpolate")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help=f"the file to write: {' '.join(CONTAINERS)}")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    parser.add_argument("--json", action="store_true", help="print a summary for programs on stdout")
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that do not depend on what is rendered; the demo takes them too."""
    parser.add_argument("--model", help="builtin (default), or a name from 'vsvfi models'")
    parser.add_argument("--multi", help="frames per source frame: 2 (default), 5/2 ...")
    parser.add_argument("--fps", help="target frame rate instead: 60, 60000/1001 ...")
    parser.add_argument("--scale", type=float, help="resolution of the motion estimation: 1, 0.5 (2K), 0.25 (4K)")
    parser.add_argument("--device", help="auto (default), cpu, cuda, cuda:1 ...")
    parser.add_argument("--precision", help="auto (default), fp32, fp16, bf16")
    parser.add_argument("--scene", help="scene cuts: auto (default), props, off")
    parser.add_argument("--duplicates", help="identical neighbours: skip (default), retime, off")
    parser.add_argument("--weights", help="a checkpoint file instead of the published one")
    parser.add_argument(
        "-a", "--arg", metavar="NAME=VALUE", action="append", default=[], help="any other argument of vsvfi.interpolate(), such as scene_threshold=0.1"
    )
    parser.add_argument("-s", "--start", metavar="N", type=_frame_number, default=0, help="first output frame")
    parser.add_argument("-e", "--end", metavar="N", type=_frame_number, help="last output frame, included")
    parser.add_argument("-r", "--requests", metavar="N", type=_frame_number, help="frames that vspipe asks for at the same time")
    parser.add_argument("--encoder", default="libx265", help="any video encoder of ffmpeg (default: libx265, or libx264 where it is missing)")
    parser.add_argument("--crf", type=int, help="constant rate factor (default: 18 for libx265, 16 for libx264)")
    parser.add_argument("--preset", help="the encoder's preset")


def interpolation(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments for `vsvfi.interpolate()` among the options."""
    given = {name: getattr(arguments, name) for name in _NAMED if getattr(arguments, name) is not None}
    return {**given, **_extra(arguments.arg)}


def main(arguments: argparse.Namespace) -> int:
    summary = render(
        arguments.video,
        arguments.output,
        interpolation(arguments),
        part=Part(arguments.start, arguments.end),
        quality=Quality(arguments.encoder, arguments.crf, arguments.preset),
        requests=arguments.requests,
        overwrite=arguments.overwrite,
    )
    if arguments.json:
        print(json.dumps(dataclasses.asdict(summary)))
    else:
        print(describe(summary), file=sys.stderr)
    return 0


def render(
    video: Path,
    output: Path,
    arguments: Mapping[str, Any],
    *,
    part: Part = Part(),  # noqa: B008 - immutable
    quality: Quality = Quality("libx265"),  # noqa: B008 - immutable
    requests: int | None = None,
    overwrite: bool = False,
) -> Summary:
    """Interpolate and encode one file.

    Args:
        video: the source.
        output: the file to write; it appears only when it is whole.
        arguments: for `vsvfi.interpolate()`.
        part: which output frames.
        quality: the encoder and its settings.
        requests: frames that vspipe asks for at the same time, None for as many as it has threads.
        overwrite: an existing output may be replaced.

    Raises:
        VsvfiError: with the reason and the remedy.
    """
    checked = options.parse(**arguments)
    check_files(video, output, overwrite=overwrite)
    encoder = find_encoder(quality.encoder)
    media = probe(video, encoder.ffmpeg)
    if not media.constant and checked.fps is None:
        raise ArgumentError(
            "fps", None, f"{video.name} has a variable frame rate, and a pipe of frames carries one constant rate", "give a target rate, for example --fps 60"
        )
    with tempfile.TemporaryDirectory(prefix="vsvfi-render-") as folder:
        work = {
            "video": str(video.resolve()),
            "index": str(Path(folder) / "index.lwi"),
            "rate": str(media.rate) if media.constant else None,
            "constant": None if media.constant else str(media.rate),
        }
        script = importlib.resources.files("vsvfi.cli").joinpath("render.vpy").read_text(encoding="utf-8")
        return run_script(script, work, output, arguments, part=part, quality=quality, requests=requests, encoder=encoder, media=media, folder=Path(folder))


def run_script(
    script: str,
    work: Mapping[str, Any],
    output: Path,
    arguments: Mapping[str, Any],
    *,
    part: Part,
    quality: Quality,
    requests: int | None,
    encoder: Encoder,
    media: Media | None,
    folder: Path,
) -> Summary:
    """Pipe a script that takes a job and leaves facts, as render.vpy does, through ffmpeg.

    Args:
        script: text of the .vpy.
        work: what it must know; `arguments`, `depth` and `facts` are added.
        media: where sound and subtitles come from, None for none.
        folder: for what is thrown away afterwards.
    """
    notes = [encoder.note] if encoder.note else []
    for note in notes + sound_notes(container(output), media.audio if media is not None else ()):
        print(note, file=sys.stderr)
    quality = dataclasses.replace(quality, encoder=encoder.name)
    path, job, facts_file = folder / "script.vpy", folder / "job.json", folder / "facts.json"
    path.write_text(script, encoding="utf-8")
    if "weights" in arguments:
        arguments = {**arguments, "weights": str(Path(arguments["weights"]).expanduser().resolve())}
    work = {**work, "arguments": arguments, "depth": _DEPTHS.get(quality.encoder, 10), "facts": str(facts_file)}
    job.write_text(json.dumps(work), encoding="utf-8")
    seen: list[Facts] = []

    def command(raw: Mapping[str, Any]) -> Sequence[str]:
        facts = Facts.parse(raw)
        seen.append(facts)
        if part.count(facts.frames) < 1:
            raise ArgumentError("start", part.first, f"the output has {facts.frames} frames, numbered from 0", "choose a part inside it")
        return [encoder.ffmpeg, *ffmpeg_arguments(facts, quality, media, part, partial(output), container(output))]

    selected = ["-s", str(part.first)] + ([] if part.last is None else ["-e", str(part.last)])
    outcome = run_chain(
        path,
        {"job": str(job)},
        facts_file,
        command,
        output,
        vspipe_options=selected + ([] if requests is None else ["-r", str(requests)]),
        report=progress_line(),
    )
    return summarise(output, str(arguments.get("model", "builtin")), encoder.name, seen[0], outcome)


def summarise(output: Path, model: str, encoder: str, facts: Facts, outcome: Outcome) -> Summary:
    """Facts and times of a finished chain."""
    return Summary(
        output=str(output),
        model=model,
        device=facts.device,
        encoder=encoder,
        source_frames=facts.source_frames,
        source_rate=str(facts.source_rate),
        frames=outcome.frames,
        rate=str(facts.rate),
        seconds=round(outcome.total, 2),
        frames_per_second=round(outcome.frames / max(outcome.running, 1e-6), 2),
    )


def describe(summary: Summary) -> str:
    """The summary for people."""
    return (
        f"{summary.output}: {summary.source_frames} frames at {summary.source_rate} fps in, {summary.frames} frames at {summary.rate} fps out, "
        f"{summary.seconds:.1f} s ({summary.frames_per_second:.2f} frames/s), {summary.model} on {summary.device}, {summary.encoder}"
    )


def progress_line() -> Any:
    """A reporter that keeps one line up to date on a terminal, and writes one every ten seconds elsewhere."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    started = last = time.monotonic()

    def report(done: int, frames: int, rate: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (0.2 if terminal else 10) and done < frames:
            return
        last = now
        speed = rate or done / max(now - started, 1e-6)
        left = (frames - done) / speed if speed else 0
        text = f"frame {done}/{frames}, {speed:.2f} frames/s, {left:.0f} s left"
        print(f"\r{text:<60}" if terminal else text, end="" if terminal and done < frames else "\n", file=sys.stderr, flush=True)

    return report


def check_files(video: Path, output: Path, *, overwrite: bool) -> None:
    """Refuse before anything is started what cannot end well.

    Raises:
        VsvfiError: with the remedy.
    """
    if not video.is_file():
        raise VsvfiError(f"{video} is not a file; give the video to interpolate")
    container(output)
    if not output.parent.is_dir():
        raise VsvfiError(f"output {str(output)!r}, the folder {str(output.parent)!r} does not exist; create it first")
    if output.exists():
        if output.samefile(video):
            raise VsvfiError(f"output {str(output)!r} is the source itself; choose another name")
        if not overwrite:
            raise VsvfiError(f"output {str(output)!r} exists; choose another name or say --overwrite")


def _extra(pairs: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; a value is a Python literal if it looks like one, else text."""
    known = inspect.signature(options.parse).parameters
    result: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or name not in known:
            raise ArgumentError("arg", pair, "is not NAME=VALUE of an argument of interpolate()", f"names are {', '.join(known)}")
        try:
            result[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            result[name] = text
    return result


def _frame_number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number
