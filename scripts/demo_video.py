"""Interpolate a video, or a clip that vsvfi draws itself, to out/demo.mkv through vspipe and ffmpeg.

Also writes a strip of frames to out/demo.png. scripts/demo starts this after installing everything. The strip and the
figures are computed from the encoded file, which is what a viewer sees.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vsvfi.cli import render, render_options
from vsvfi.cli.interrupts import interruptible
from vsvfi.cli.output import Output
from vsvfi.cli.programs import find_encoder, find_ffmpeg
from vsvfi.cli.source import Source
from vsvfi.cli.summary import Summary
from vsvfi.errors import VsvfiError, for_command
from vsvfi.media.encoding import Part, Quality
from vsvfi.media.stills import Still, write_png
from vsvfi.metrics import psnr
from vsvfi.synthetic import demo_clip

type Image = NDArray[np.uint8]  # [height, width, 3]

_REPOSITORY = Path(__file__).resolve().parent.parent
_ERROR_GAIN = 4
_SEARCHED = 240
"""Most frames decoded for the strip, so that a long video is not decoded to its middle."""


def main() -> int:
    arguments = _parser().parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    output, strip = folder / "demo.mkv", folder / "demo.png"
    try:
        part, quality = render_options.part_of(arguments), render_options.encoding(arguments)
        if arguments.video is None:
            summary = _render_sample(output, arguments, part, quality)
        else:
            rendered = render.render(
                Source(arguments.video),
                output,
                render_options.interpolation(arguments),
                part=part,
                quality=quality,
                requests=arguments.requests,
                overwrite=True,
            )
            assert rendered is not None
            summary = rendered
        lines = _image(summary, strip, part, arguments)
    except VsvfiError as error:
        print(f"demo: {for_command(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(
        f"in      {arguments.video or 'a clip that vsvfi drew'}: {summary.source_frames} frames at "
        f"{summary.source_rate} fps"
    )
    print(
        f"out     {output}: {summary.frames} frames at {summary.rate} fps, {summary.encoder}, "
        f"{output.stat().st_size / 1e6:.2f} MB"
    )
    print(f"model   {summary.model} on {summary.device}")
    print(f"time    {summary.seconds:.1f} s, {summary.frames_per_second:.2f} frames/s once started")
    for line in lines:
        print(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.partition("\n\n")[0] if __doc__ else None)
    parser.add_argument(
        "video",
        metavar="VIDEO",
        type=Path,
        nargs="?",
        help="the file to interpolate; without it a clip that vsvfi draws itself",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=_REPOSITORY / "out",
        help="where demo.mkv and demo.png go (default: out, in the repository)",
    )
    parser.add_argument("--size", default="640x360", help="of the drawn clip (default: 640x360)")
    parser.add_argument("--length", type=int, default=48, help="frames of the drawn clip (default: 48)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn clip")
    render_options.add_options(parser)
    return parser


def _render_sample(output: Path, arguments: argparse.Namespace, part: Part, quality: Quality) -> Summary:
    """Render the drawn clip."""
    width, height = _size(arguments)
    work = {"width": width, "height": height, "length": arguments.length, "seed": arguments.seed}
    work["arguments"] = render_options.interpolation(arguments)
    script = Path(__file__).with_name("demo.vpy").read_text(encoding="utf-8")
    with interruptible(), Output(output, overwrite=True) as claimed:
        return render.run_script(
            script,
            work,
            claimed,
            part=part,
            quality=quality,
            requests=arguments.requests,
            encoder=find_encoder(quality.encoder),
            media=None,
        )


def _image(summary: Summary, strip: Path, part: Part, arguments: argparse.Namespace) -> list[str]:
    """Write the strip; returns lines that say what it shows."""
    step = Fraction(summary.source_rate) / Fraction(summary.rate)
    frames = _decode(Path(summary.output), min(summary.frames, _SEARCHED))
    positions = [(part.first + n) * step for n in range(len(frames))]
    between = [n for n, position in enumerate(positions) if position.denominator != 1 and 0 < n < len(frames) - 1]
    if not between:
        write_png(strip, Still(frames[len(frames) // 2]), overwrite=True)
        return [f"strip   {strip}: one frame; nothing was interpolated in this part"]
    if arguments.video is not None:
        middle = between[len(between) // 2]
        _write_strip(
            strip, [frames[_source(positions, middle, -1)], frames[middle], frames[_source(positions, middle, 1)]]
        )
        return [f"strip   {strip}: source, interpolated, source"]
    width, height = _size(arguments)
    clip = demo_clip(width=width, height=height, length=arguments.length, seed=arguments.seed)
    # There is no true frame between held drawings or across a scene change.
    still = {k for held in clip.held for k in held} | {k - 1 for k in clip.cuts} | {clip.length - 1}
    moving = [n for n in between if int(positions[n]) not in still]
    if not moving:
        return [
            *_image_plain(strip, frames, positions, between[0]),
            "truth   nothing moves between the frames of this part",
        ]
    scores, blends = [], []
    for n in moving:
        truth = clip.truth(float(positions[n])).transpose(1, 2, 0) * 255
        first, second = (frames[_source(positions, n, side)].astype(np.float32) for side in (-1, 1))
        t = float(positions[n] - int(positions[n]))
        scores.append(_psnr(frames[n], truth))
        blends.append(_psnr(first * (1 - t) + second * t, truth))
    chosen = sorted(range(len(moving)), key=lambda index: scores[index])[len(moving) // 2]
    middle = moving[chosen]
    truth = clip.truth(float(positions[middle])).transpose(1, 2, 0) * 255
    error = np.clip(np.abs(frames[middle] - truth) * _ERROR_GAIN, 0, 255).astype(np.uint8)
    _write_strip(
        strip, [frames[_source(positions, middle, -1)], frames[middle], frames[_source(positions, middle, 1)], error]
    )
    return [
        f"strip   {strip}: source, interpolated, source, {_ERROR_GAIN} x the error against the truth (frame "
        f"{part.first + middle}, {scores[chosen]:.2f} dB)",
        f"truth   {np.mean(scores):.2f} dB on average over {len(scores)} interpolated frames, encoded; mixing the "
        f"neighbours: {np.mean(blends):.2f} dB",
    ]


def _image_plain(strip: Path, frames: Sequence[Image], positions: Sequence[Fraction], middle: int) -> list[str]:
    _write_strip(strip, [frames[_source(positions, middle, -1)], frames[middle], frames[_source(positions, middle, 1)]])
    return [f"strip   {strip}: source, interpolated, source"]


def _source(positions: Sequence[Fraction], n: int, direction: int) -> int:
    """Return the nearest source frame before (-1) or after (1) frame n, or the next frame if there is none."""
    m = n + direction
    while 0 < m < len(positions) - 1 and positions[m].denominator != 1:
        m += direction
    return m


def _decode(path: Path, count: int) -> list[Image]:
    """Decode the first frames of a video as 8-bit RGB."""
    options = [
        "-sws_flags",
        "bicubic+accurate_rnd+full_chroma_int",
        "-frames:v",
        str(count),
        "-pix_fmt",
        "rgb24",
        "-f",
        "image2pipe",
        "-c:v",
        "ppm",
    ]
    command = [find_ffmpeg(), "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0", *options, "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise VsvfiError(f"{path} was written but cannot be decoded: {done.stderr.decode(errors='replace').strip()}")
    frames: list[Image] = []
    rest = memoryview(done.stdout)
    while rest:
        header = bytes(rest[:64]).split(maxsplit=4)
        width, height = int(header[1]), int(header[2])
        start = len(b" ".join(header[:4])) + 1
        frames.append(np.frombuffer(rest[start : start + width * height * 3], np.uint8).reshape(height, width, 3))
        rest = rest[start + width * height * 3 :]
    return frames


def _psnr(made: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    """Of two images of values up to 255, in dB; at most 99, so that a mean stays finite."""
    unit = [torch.from_numpy(image.astype(np.float64) / 255) for image in (made, truth)]
    return min(99.0, float(psnr(unit[0], unit[1])))


def _write_strip(path: Path, images: Sequence[Image]) -> None:
    """Images side by side, a line of white between."""
    line = np.full((images[0].shape[0], 4, 3), 255, np.uint8)
    row: list[Image] = []
    for image in images:
        row += [image, line]
    write_png(path, Still(np.concatenate(row[:-1], axis=1)), overwrite=True)


def _size(arguments: argparse.Namespace) -> tuple[int, int]:
    width, _, height = arguments.size.partition("x")
    if not (width.isdigit() and height.isdigit()) or int(width) % 2 or int(height) % 2:
        raise VsvfiError(f"--size={arguments.size} must be WIDTHxHEIGHT, even numbers; use for example 640x360")
    return int(width), int(height)


if __name__ == "__main__":
    sys.exit(main())
