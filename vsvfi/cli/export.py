"""`vsvfi export`: a model as ONNX, for TensorRT, DirectML, OpenVINO and other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from vsvfi import options
from vsvfi.cli.checks import parse_size
from vsvfi.cli.console import say
from vsvfi.cli.interrupts import interruptible
from vsvfi.cli.output import Output
from vsvfi.cli.render_options import extra_arguments
from vsvfi.errors import ArgumentError, VsvfiError

HELP = "write a model, or one phase of it, as an ONNX file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a name from 'vsvfi models' (IFRNet, RIFE, UPR-Net)")
    parser.add_argument("--size", metavar="WIDTHxHEIGHT", required=True, help="of padded frames, such as 1920x1088")
    parser.add_argument(
        "--phase",
        choices=("encode", "prepare", "synthesise", "all"),
        default="all",
        help="one phase, or the whole network in one graph (default: all)",
    )
    parser.add_argument("--opset", type=int, default=18, help="16, 17 or 18 (default: 18)")
    parser.add_argument("--fp16", action="store_true", help="float16 weights; flow and sampling stay float32")
    parser.add_argument("--scale", type=float, help="resolution of the motion estimation: 1, 0.5 (2K), 0.25 (4K)")
    parser.add_argument("--weights", help="a checkpoint file instead of the published one")
    parser.add_argument(
        "-a", "--arg", metavar="NAME=VALUE", action="append", default=[], help="such as options={'ensemble': True}"
    )
    parser.add_argument("--no-check", action="store_true", help="do not compare the file with the network afterwards")
    parser.add_argument("-o", "--output", metavar="FILE.onnx", type=Path, required=True)
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")


def main(arguments: argparse.Namespace) -> int:
    extra = extra_arguments(arguments.arg)
    for name in extra.keys() - {"options"}:
        raise ArgumentError("arg", f"{name}={extra[name]}", "does not apply to a graph", "only options= does")
    given = options.parse(model=arguments.model, weights=arguments.weights, scale=arguments.scale, **extra)
    size = parse_size(arguments.size)
    if arguments.output.suffix != ".onnx":
        raise VsvfiError(f"output {str(arguments.output)!r} must end in .onnx; add the ending")
    sources = [given.weights] if given.weights else []
    with interruptible(), Output(arguments.output, sources, overwrite=arguments.overwrite) as output:
        from vsvfi.engine.build import load_weights
        from vsvfi.engine.model_config import ModelConfig
        from vsvfi.engine.onnx.files import Wanted, check_wanted, write_phase

        config = ModelConfig.of(given)
        wanted = Wanted(arguments.phase, size, arguments.opset, arguments.fp16, not arguments.no_check)
        check_wanted(config, wanted)
        loaded = load_weights(config, given.weights)
        content, interface, verified = write_phase(config.adopt(loaded.variant), loaded, wanted)
        output.begin().write_bytes(content)
        output.publish()
    say(f"{arguments.output}: {len(content) / 2**20:.1f} MiB, inputs {', '.join(interface.inputs)}")
    if verified is not None:
        image = "" if verified.psnr is None else f", {verified.psnr:.1f} dB"
        say(f"onnxruntime against torch: relative error {verified.deviation.relative:.1e}{image}")
    return 0
