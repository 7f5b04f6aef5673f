"""Compare the conversions on a device with zimg's, over every format, matrix, range and chroma location.

    python -m scripts.colour_against_zimg --frames 4

Frames hold random codes, or only the lowest and highest ones; RGB to convert back also lies outside [0, 1]. Prints the
largest differences per format: of RGB in [0, 1], and of the codes after converting RGB back; the last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray

from vsvfi.clip.colour import Colour, frame_format
from vsvfi.clip.planes import pack_planes, planes_of, unpack_planes
from vsvfi.engine.device import inference, resolve_device
from vsvfi.engine.device_colour import DeviceColour
from vsvfi.engine.frame_format import Coding

MATRICES = (1, 4, 5, 6, 7, 8, 9)
SUBSAMPLINGS = ((0, 0), (1, 0), (1, 1), (2, 0), (0, 1), (2, 2))
INTEGER_BITS = tuple(range(8, 17))

type Planes = Sequence[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Largest differences between both ways.

    Attributes:
        rgb: of values in [0, 1], from the clip's format to RGB.
        codes: of samples in the clip's format, from RGB to it.
    """

    rgb: float
    codes: float


def formats() -> list[vs.VideoFormat]:
    """Every format that the device converts."""
    query = vs.core.core.query_video_format
    found = [query(vs.YUV, vs.INTEGER, bits, *reduced) for bits in INTEGER_BITS for reduced in SUBSAMPLINGS]
    found += [query(vs.YUV, vs.FLOAT, bits, *reduced) for bits in (16, 32) for reduced in SUBSAMPLINGS]
    for family in (vs.RGB, vs.GRAY):
        found += [query(family, vs.INTEGER, bits, 0, 0) for bits in INTEGER_BITS]
        found += [query(family, vs.FLOAT, bits, 0, 0) for bits in (16, 32)]
    return found


def codings(video_format: vs.VideoFormat) -> Iterator[Coding]:
    """Every coding that makes a difference in this format."""
    matrices = MATRICES if video_format.color_family == vs.YUV else (1,)
    locations = range(6) if video_format.subsampling_w or video_format.subsampling_h else (0,)
    for matrix, full, location in itertools.product(matrices, (False, True), locations):
        yield Coding(matrix, full, location)


def compare(
    video_format: vs.VideoFormat,
    width: int,
    height: int,
    coding: Coding,
    *,
    seed: int,
    extreme: bool,
    device: torch.device,
) -> Difference:
    """Convert one frame both ways, and RGB of the same size back."""
    generator = np.random.default_rng(seed)
    blank = vs.core.std.BlankClip(format=video_format.id, width=width, height=height, length=1, keep=True)
    described = frame_format(blank)
    assert described is not None
    colour, ours = Colour(blank, vs.RGBS, None), DeviceColour(described, device)
    planes = [_random(generator, shape, video_format, plane, extreme) for plane, shape in enumerate(described.shapes)]
    rgb = generator.uniform(-0.1, 1.1, (3, height, width)).astype(np.float32)
    if extreme:
        rgb = rgb.round()
    packed = torch.empty(described.frame_bytes, dtype=torch.uint8)
    pack_planes(planes, packed)
    with inference(device):
        forward = ours.to_rgb(packed.to(device), coding).cpu().numpy()[0]
        backward = ours.from_rgb(torch.from_numpy(rgb)[None].to(device), coding).cpu()
    found = [np.empty_like(plane) for plane in planes]
    unpack_planes(backward, found)
    return Difference(
        _largest(forward, _planes(colour.converted(_clip(blank, planes), coding))),
        _largest(found, _planes(colour.restored(_clip(blank.std.BlankClip(format=vs.RGBS), rgb), coding))),
    )


def _random(
    generator: np.random.Generator, shape: tuple[int, int], video_format: vs.VideoFormat, plane: int, extreme: bool
) -> NDArray[Any]:
    if video_format.sample_type == vs.FLOAT:
        low, high = (-0.5, 0.5) if plane and video_format.color_family == vs.YUV else (0.0, 1.0)
        values = generator.choice([low, high], shape) if extreme else generator.uniform(low - 0.2, high + 0.2, shape)
        return values.astype(np.float16 if video_format.bits_per_sample == 16 else np.float32)
    top = (1 << video_format.bits_per_sample) - 1
    codes = generator.choice([0, top], shape) if extreme else generator.integers(0, top + 1, shape)
    return codes.astype(np.uint8 if video_format.bits_per_sample == 8 else np.uint16)


def _clip(blank: vs.VideoNode, planes: Planes | NDArray[Any]) -> vs.VideoNode:
    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for target, plane in zip(planes_of(out), planes, strict=True):
            target[...] = plane
        return out

    return blank.std.ModifyFrame(blank, fill)


def _planes(clip: vs.VideoNode) -> Planes:
    with clip.get_frame(0) as frame:
        return [plane.copy() for plane in planes_of(frame)]


def _largest(found: Planes | NDArray[Any], expected: Planes) -> float:
    return max(
        float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())
        for ours, theirs in zip(found, expected, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--size", default="48x32", help="width and height (default: 48x32)")
    parser.add_argument(
        "--frames", type=int, default=2, help="random ones per case, beside an extreme one (default: 2)"
    )
    given = parser.parse_args()
    device = resolve_device(given.device)
    width, height = (int(side) for side in given.size.split("x"))
    largest: dict[str, list[float]] = {}
    for video_format in formats():
        rgb = codes = 0.0
        for coding in codings(video_format):
            for seed in range(given.frames + 1):
                found = compare(video_format, width, height, coding, seed=seed, extreme=seed == 0, device=device)
                rgb, codes = max(rgb, found.rgb), max(codes, found.codes)
        largest[video_format.name] = [rgb, codes]
        print(f"  {video_format.name:<12} RGB {rgb:.2e}, codes {codes:.3g}", flush=True)
    print(json.dumps({"device": str(device), "size": given.size, "frames": given.frames, "largest": largest}))


if __name__ == "__main__":
    main()
