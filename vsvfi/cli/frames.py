"""`vsvfi frames`: the frames between images, as PNG files and, where asked, as GIF, WebP or video."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsvfi import options
from vsvfi.cli.console import say
from vsvfi.cli.frame_files import FrameFiles, Shows, Wanted
from vsvfi.cli.images import Images, opened
from vsvfi.cli.interrupts import interruptible
from vsvfi.cli.render_options import add_tile, extra_arguments
from vsvfi.cli.summary import progress_line
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.media import animation

if TYPE_CHECKING:
    from vsvfi.cli.interpolating_stills import StillInterpolator

HELP = "interpolate between images: two or more, a folder, or headerless YUV"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE",
        help="two or more images in order, a folder, a pattern such as 'shot/*.png', or a headerless .yuv file",
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True, help="where to write PNG files")
    parser.add_argument("-n", "--number", type=int, metavar="N", help="new frames between two images (default: 1)")
    parser.add_argument(
        "-t", "--times", nargs="+", metavar="T", help="timesteps of the new frames instead, between 0 and 1: 0.25 1/3"
    )
    parser.add_argument("--model", default="builtin", help="builtin (default), or a name from 'vsvfi models'")
    parser.add_argument("--weights", help="a checkpoint file instead of the published one")
    parser.add_argument("--scale", type=float, help="resolution of the motion estimation: 1, 0.5 (2K), 0.25 (4K)")
    add_tile(parser)
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 ...")
    parser.add_argument("--precision", default="auto", help="auto (default), fp32, fp16, bf16")
    parser.add_argument(
        "-a", "--arg", metavar="NAME=VALUE", action="append", default=[], help="such as options={'tta': True}"
    )
    parser.add_argument("--bits", type=int, choices=(8, 16), help="of the PNG files (default: those of the images)")
    parser.add_argument("--new-only", action="store_true", help="write the new frames alone, not the images too")
    parser.add_argument("--overlay", action="store_true", help="also the mean of both images of each pair")
    parser.add_argument("--strip", action="store_true", help="also each pair and its new frames side by side")
    parser.add_argument("--flow", action="store_true", help="also the motion, as colours and as .flo files")
    parser.add_argument(
        "--animation", metavar="FILE", type=Path, action="append", default=[],
        help=f"also all frames as an animation or a video: {' '.join(animation.ENDINGS)}",
    )  # fmt: skip
    parser.add_argument(
        "--beside", metavar="FILE", type=Path, action="append", default=[],
        help="the same with the image before held at the left",
    )  # fmt: skip
    parser.add_argument(
        "--flow-animation", metavar="FILE", type=Path, action="append", default=[],
        help="also the motion of all new frames as colours, as an animation or a video",
    )  # fmt: skip
    parser.add_argument("--rate", help="their frames per second (default: a pair takes about a second)")
    parser.add_argument("--crf", type=int, default=12, help="quality of a video; 0 is lossless (default: 12)")
    parser.add_argument("--overwrite", action="store_true", help="replace files of the same names")
    parser.add_argument("--json", action="store_true", help="print the written files for programs on stdout")
    raw = parser.add_argument_group("headerless YUV")
    raw.add_argument("--size", metavar="WIDTHxHEIGHT", help="of its frames (default: 1920x1080)")
    raw.add_argument("--format", help="yuv420p, yuv444p10le ... (default: by 10bit, 16bit, 444 in the file's name)")
    raw.add_argument("--matrix", choices=("601", "709"), default="601", help="(default: 601)")
    raw.add_argument("--full-range", action="store_true", help="the samples use the full range of values")


def main(arguments: argparse.Namespace) -> int:
    times = wanted_times(arguments.number, arguments.times)
    rate = _rate(arguments.rate, len(times))
    if not 0 <= arguments.crf <= 51:
        raise ArgumentError("crf", arguments.crf, "must be from 0 to 51", "leave it out for 12")
    given = {
        name: getattr(arguments, name)
        for name in ("model", "weights", "scale", "tile", "device", "precision")
        if getattr(arguments, name) is not None
    }
    extra = extra_arguments(arguments.arg)
    for name in extra.keys() - {"options"}:
        raise ArgumentError("arg", f"{name}={extra[name]}", "does not apply to images", "only options= does")
    checked = options.parse(**given, **extra)
    if len(checked.devices) > 1:
        raise ArgumentError("device", arguments.device, "must be one device for images", "name one device")
    images = opened(arguments)
    wanted = Wanted(
        len(images), times, arguments.new_only, arguments.overlay, arguments.strip, arguments.flow, arguments.bits
    )
    sources = [*images.files, *([checked.weights] if checked.weights else [])]
    shows = Shows(arguments.animation, arguments.beside, arguments.flow_animation, rate, arguments.crf)
    claimed = FrameFiles(arguments.output, wanted, shows, sources, overwrite=arguments.overwrite)
    with interruptible(), claimed as files:
        from vsvfi.cli.interpolating_stills import StillInterpolator

        flow = arguments.flow or bool(arguments.flow_animation)
        _run(images, times, StillInterpolator(checked), files, flow=flow)
    if arguments.json:
        print(json.dumps({"model": checked.model, "files": [str(path) for path in files.written]}))
    say(f"{arguments.output}: {len(files.written)} files")
    return 0


def wanted_times(number: int | None, times: Sequence[str] | None) -> list[Fraction]:
    """The times of the new frames of a pair, in order.

    Raises:
        ArgumentError: both are given, or one is out of range.
    """
    if times is None:
        count = 1 if number is None else number
        if not 1 <= count <= 1000:
            raise ArgumentError("number", count, "must be from 1 to 1000", "leave it out for 1")
        return [Fraction(index, count + 1) for index in range(1, count + 1)]
    if number is not None:
        raise ArgumentError("number", number, "cannot be given together with times", "give one of them")
    found = []
    for text in times:
        try:
            time = Fraction(text)
        except (ValueError, ZeroDivisionError):
            time = Fraction(0)
        if not 0 < time < 1:
            raise ArgumentError("times", text, "must lie between 0 and 1", "0 is the first image, 1 the second")
        found.append(time)
    return sorted(set(found))


def _rate(text: str | None, new: int) -> Fraction:
    """Frames per second of an animation."""
    if text is None:
        return Fraction(new + 2)
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not Fraction(1, 100) <= rate <= 1000:
        raise ArgumentError("rate", text, "must be a number of frames per second", "use for example 24 or 30000/1001")
    return rate


def _run(
    images: Images, times: Sequence[Fraction], interpolator: StillInterpolator, files: FrameFiles, *, flow: bool
) -> None:
    """Interpolate every pair in turn."""
    report, done = progress_line(), 0
    total = (len(images) - 1) * len(times)
    for index, (first, second) in enumerate(_pairs(images)):
        if index == 0:
            if first.profile:
                say("the images have a colour profile; the new frames are written without it")
            files.image(first)
        pair = interpolator.open(first, second)
        made = []
        for t in times:
            flows = pair.flow(t) if flow else None  # first: a model without flow is refused before it makes a frame
            made.append(pair.frame(t))
            files.new(made[-1])
            if flows is not None:
                files.flow(index, len(made) - 1, t, flows)
            done += 1
            report(done, total, 0.0)
        files.pair(index, first, second, made)
        files.image(second)


def _pairs(images: Images) -> Iterator[tuple[Any, Any]]:
    """Yield neighbouring images, each read once.

    Raises:
        VsvfiError: they differ in size.
    """
    before = images.read(0)
    for index in range(1, len(images)):
        after = images.read(index)
        if before.size != after.size:
            sizes = " and ".join(f"{width}x{height}" for width, height in (before.size, after.size))
            names = f"{images.name(index - 1)} and {images.name(index)}"
            raise VsvfiError(f"{names} are of different sizes, {sizes}; crop or resize one of them first")
        yield before, after
        before = after
