"""`vsvfi join`: make a file of the finished chunks of a job, without encoding them again."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from vsvfi.cli.console import say
from vsvfi.cli.diagnosis import explain_ffmpeg
from vsvfi.cli.interrupts import interruptible
from vsvfi.cli.output import Output
from vsvfi.cli.process import programs
from vsvfi.cli.programs import find_encoder
from vsvfi.errors import VsvfiError
from vsvfi.jobs.chunks import Chunk, leading
from vsvfi.jobs.folder import JobFolder
from vsvfi.jobs.manifest import Manifest
from vsvfi.media.encoding import Facts, Part, Rewriting, container, join_arguments, planned
from vsvfi.media.opus import forgets_delay
from vsvfi.media.probe import probe
from vsvfi.media.retime import write_retimed
from vsvfi.media.slow_motion import slow_motion
from vsvfi.media.split_times import split_times
from vsvfi.media.verify import verify

HELP = "join the finished chunks of a job of 'vsvfi render' to a file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", type=Path, help="the job's folder, such as film_60.mkv.vsvfi-job")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="the file to write (default: NAME.part.mkv beside the job's)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def main(arguments: argparse.Namespace) -> int:
    folder = JobFolder(arguments.job)
    manifest = folder.manifest() if folder.path.is_dir() else None
    if manifest is None:
        raise VsvfiError(f"{str(arguments.job)!r} is not a job folder; pass one that 'vsvfi render' created")
    muxer = manifest.encoding["chunk_muxer"]
    ready = leading(manifest.chunks, lambda chunk: folder.done(chunk, muxer) is not None)
    if not ready:
        raise VsvfiError(f"job {str(folder.path)!r} has not finished its first chunk; there is nothing to join yet")
    intended = Path(manifest.encoding["output"])
    output = arguments.output or intended.with_name(f"{intended.stem}.part{intended.suffix}")
    if container(output) != manifest.encoding["muxer"]:
        raise VsvfiError(f"output {str(output)!r}, the job was encoded for {intended.suffix}; use that ending")
    source = Path(manifest.work["video"])
    with interruptible(), Output(output, [source], overwrite=arguments.overwrite) as claimed:
        complete = len(ready) == len(manifest.chunks)
        facts = Facts.parse(manifest.facts)
        whole = complete and ready[-1].last == facts.frames - 1
        join(folder, manifest, ready, claimed, Part(ready[0].first, None if whole else ready[-1].last))
        claimed.publish()
    later = sum(folder.done(chunk, muxer) is not None for chunk in manifest.chunks[len(ready) :])
    behind = f"; {later} finished chunks follow a gap and are left out" if later else ""
    say(f"{output}: {len(ready)} of {len(manifest.chunks)} chunks, frames {ready[0].first} to {ready[-1].last}{behind}")
    return 0


def join(folder: JobFolder, manifest: Manifest, chunks: Sequence[Chunk], claimed: Output, part: Part) -> Path:
    """Write the temporary file of a claimed output from chunks and the source's other streams, and verify it.

    Args:
        folder, manifest: of the job.
        chunks: consecutive ones that are done.
        claimed: the output; it is not published.
        part: the output frames that they hold.

    Returns:
        The temporary file.

    Raises:
        VsvfiError: ffmpeg failed, or the file is not as planned.
    """
    facts, muxer = _timed(manifest), manifest.encoding["muxer"]
    encoder = find_encoder(manifest.encoding["encoder"], muxer)
    media = None if manifest.work.get("images") else probe(Path(manifest.work["video"]))
    if media is not None and manifest.work.get("slow"):
        factor, audio = manifest.work["slow"]
        media = slow_motion(media, Fraction(factor), audio)
    listing = None if facts.times else claimed.scratch / "chunks.txt"
    if listing is not None:
        listing.write_text(
            concat_list(_linked(folder, manifest, chunks, claimed.scratch), chunks, facts.rate), encoding="utf-8"
        )
    forgets = forgets_delay(encoder.ffmpeg, muxer) if media is not None and media.audio else False
    unfinished = claimed.begin()
    options = join_arguments(
        facts, encoder.name, media, part, listing, unfinished, muxer, Rewriting(claimed.scratch, forgets)
    )
    with programs() as group:
        given = subprocess.DEVNULL if listing is not None else subprocess.PIPE
        program = group.start("ffmpeg", [encoder.ffmpeg, *options], stdin=given, stdout=subprocess.DEVNULL)
        if listing is None:
            files = [folder.chunk_file(chunk, manifest.encoding["chunk_muxer"]) for chunk in chunks]
            assert program.process.stdin is not None
            # If ffmpeg fails, it closes the pipe and reports why.
            with contextlib.suppress(OSError), program.process.stdin as pipe:
                write_retimed(files, [chunk.first for chunk in chunks], facts.times, pipe)
        if program.wait() != 0:
            raise VsvfiError(f"ffmpeg: {explain_ffmpeg(program.lines, program.ending(), claimed.path)}")
    verify(unfinished, planned(facts, media, part, muxer))
    return unfinished


def _timed(manifest: Manifest) -> Facts:
    """Return the facts of a job's clip, with the times of its frames where it keeps the source's."""
    facts, times = Facts.parse(manifest.facts), manifest.work.get("kept_times")
    if not times:
        return facts
    return dataclasses.replace(
        facts, times=split_times([Fraction(time) for time in times], facts.frames // (len(times) - 1))
    )


def concat_list(files: Sequence[str], chunks: Sequence[Chunk], rate: Fraction) -> str:
    """Return a list for ffmpeg's concat demuxer.

    The durations end at the microsecond nearest to where the next chunk begins, so that no error accumulates.
    """
    lines = ["ffconcat version 1.0"]
    begin = chunks[0].first
    for file, chunk in zip(files, chunks, strict=True):
        start, end = (round((n - begin) / rate * 1_000_000) for n in (chunk.first, chunk.last + 1))
        lines += [f"file {file}", f"duration {(end - start) / 1_000_000:.6f}"]
    return "\n".join(lines) + "\n"


def _linked(folder: JobFolder, manifest: Manifest, chunks: Sequence[Chunk], scratch: Path) -> list[str]:
    """Return names of the chunks that need no quoting, relative to the list: links, or quoted paths without links."""
    names = []
    for chunk in chunks:
        path = folder.chunk_file(chunk, manifest.encoding["chunk_muxer"])
        try:
            os.symlink(path, scratch / path.name)
            names.append(path.name)
        except OSError:  # Windows without the privilege
            names.append("'file:" + str(path).replace("'", "'\\''") + "'")
    return names
