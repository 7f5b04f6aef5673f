"""The options of `vsvfi render` that do not depend on the source: interpolation, part, encoder."""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import math
from collections.abc import Sequence
from typing import Any

from vsvfi import options
from vsvfi.errors import ArgumentError
from vsvfi.media.encoding import Part, Quality

_NAMED = ("model", "multi", "fps", "scale", "device", "precision", "scene", "duplicates", "weights", "runtime", "tile")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that do not depend on the source; the demo has them too."""
    parser.add_argument("--model", help="builtin (default), or a name from 'vsvfi models'")
    parser.add_argument("--multi", help="frames per source frame: 2 (default), 5/2 ...")
    parser.add_argument("--fps", help="target frame rate instead: 60, 60000/1001 ...")
    parser.add_argument("--scale", type=float, help="resolution of the motion estimation: 1, 0.5 (2K), 0.25 (4K)")
    parser.add_argument("--device", help="auto (default), cpu, cuda, cuda:1 ...")
    parser.add_argument("--precision", help="auto (default), fp32, fp16, bf16")
    parser.add_argument("--runtime", help="auto (default), eager, graph, compile, onnx, onnx:PROVIDER")
    add_tile(parser)
    parser.add_argument("--scene", help="scene cuts: auto (default), props, off")
    parser.add_argument("--duplicates", help="identical neighbours: skip (default), retime, repair, off")
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


def add_tile(parser: argparse.ArgumentParser) -> None:
    """Add `--tile`, which every command that runs a model has."""
    parser.add_argument("--tile", type=_edge, help="compute in tiles where memory is short: auto, 1024, 512 ...")


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


def extra_arguments(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse NAME=VALUE pairs; a value is a Python literal if it looks like one, else text."""
    known = inspect.signature(options.parse).parameters
    result: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or name not in known:
            near = difflib.get_close_matches(name[:64].lower(), known, n=1, cutoff=0.6) if separator else []
            remedy = f"did you mean {near[0]}=?" if near else f"names are {', '.join(known)}"
            raise ArgumentError("arg", pair, "is not NAME=VALUE of an argument of interpolate()", remedy)
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


def _edge(text: str) -> int | str:
    """Pixels as a number; anything else is left for `options.parse` to judge."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else text


def _factor(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return number
