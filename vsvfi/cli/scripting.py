"""What the scripts of `vsvfi render`, the demo and the examples need inside vspipe: a source, a clip fit for a y4m pipe, facts for the encoder.

Knows no encoder and starts no process. Nothing here may write to stdout: in vspipe that is the stream.
"""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import vapoursynth as vs


def open_video(path: str, index: str, rate: str | None = None, constant: str | None = None) -> vs.VideoNode:
    """The first video stream of a file, by lsmas or bestsource.

    Args:
        path: the file.
        index: where the source filter may keep its index; never beside the video.
        rate: the constant rate that the file is known to have, for source filters that guess it wrong.
        constant: a rate to bring a file of variable rate to, by repeating and dropping frames.

    Raises:
        vapoursynth.Error: no source filter is installed, or it cannot read the file.
    """
    core = vs.core.core
    forced = Fraction(constant) if constant else None
    given = {} if forced is None else {"fpsnum": forced.numerator, "fpsden": forced.denominator}
    if hasattr(core, "lsmas"):
        clip = core.lsmas.LWLibavSource(path, cachefile=index, ff_loglevel=0, **given)
    elif hasattr(core, "bs"):
        clip = core.bs.VideoSource(path, cachemode=4, cachepath=index, **given)
    else:
        raise vs.Error("no source filter is installed; pip install vapoursynth-lsmas (or vapoursynth-bestsource)")
    if rate is not None and forced is None:
        known = Fraction(rate)
        # Half a frame over the whole clip: less than that is another spelling of the same rate.
        if not clip.fps or abs(clip.num_frames / Fraction(clip.fps) - clip.num_frames / known) * known > Fraction(1, 2):
            clip = clip.std.AssumeFPS(fpsnum=known.numerator, fpsden=known.denominator)
    return clip


def sample_clip(width: int = 640, height: int = 360, length: int = 48, seed: int = 0) -> vs.VideoNode:
    """A short clip that vsvfi draws itself, for trying things without a video at hand: YUV420P8, BT.709, 24 fps."""
    import numpy as np

    from vsvfi.synthetic import demo_clip

    core = vs.core.core
    drawn = demo_clip(width=width, height=height, length=length, seed=seed)
    rgb = core.std.BlankClip(width=width, height=height, format=vs.RGBS, length=length, fpsnum=24, fpsden=1, keep=True)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = core.create_video_frame(f.format, f.width, f.height)
        out.props.update(f.props)
        for plane, picture in enumerate(drawn.frame(n)):
            np.copyto(np.asarray(out[plane]), picture)
        return out

    tagged = rgb.std.ModifyFrame(rgb, draw).std.SetFrameProps(_Matrix=vs.MATRIX_RGB, _Range=vs.RANGE_FULL, _Primaries=1, _Transfer=1)
    return tagged.resize.Bicubic(format=vs.YUV420P8, matrix=vs.MATRIX_BT709, range=vs.RANGE_LIMITED, dither_type="none")


def fit_y4m(clip: vs.VideoNode, depth: int) -> vs.VideoNode:
    """The clip as y4m and encoders take it: YUV or Gray, whole numbers, at most `depth` bits; untouched where it is so already."""
    form = clip.format
    bits = min(form.bits_per_sample, depth) if form.sample_type == vs.INTEGER else depth
    bits = 8 if bits <= 8 else 10 if bits <= 10 else bits
    if form.color_family == vs.RGB:
        wanted = vs.core.core.query_video_format(vs.YUV, vs.INTEGER, bits, 0, 0)
        return clip.resize.Bicubic(format=wanted.id, matrix=vs.MATRIX_BT709, range=vs.RANGE_LIMITED)
    if form.sample_type == vs.INTEGER and form.bits_per_sample == bits:
        return clip
    wanted = vs.core.core.query_video_format(form.color_family, vs.INTEGER, bits, form.subsampling_w, form.subsampling_h)
    return clip.resize.Bicubic(format=wanted.id)


def take_part(clip: vs.VideoNode, first: int, last: int | None) -> vs.VideoNode:
    """Frames `first` to `last`, both included, as far as the clip goes; all of it where it ends before `first`."""
    if first >= clip.num_frames:
        return clip
    return clip.std.Trim(first=first, last=clip.num_frames - 1 if last is None else min(last, clip.num_frames - 1))


def leave_facts(path: str, source: vs.VideoNode, output: vs.VideoNode, device: object = "auto") -> None:
    """Write what the encoder must know about `output` as JSON; the file appears whole or not at all.

    Args:
        path: the file; see `vsvfi.cli.encoding.Facts`.
        source: the clip before interpolation.
        output: the clip that goes through the pipe.
        device: as given to `interpolate()`: a name or several.
    """
    from vsvfi import options
    from vsvfi.engine.device import describe, resolve_device

    with output.get_frame(0) as frame:
        props = {name: _plain(value) for name, value in frame.props.items()}
    form = output.format
    facts = {
        "width": output.width,
        "height": output.height,
        "frames": output.num_frames,
        "rate": str(Fraction(output.fps)),
        "source_frames": source.num_frames,
        "source_rate": str(Fraction(source.fps)),
        "chroma_420": form.color_family == vs.YUV and form.subsampling_w == 1 and form.subsampling_h == 1,
        "props": props,
        "device": ", ".join(describe(resolve_device(name)) for name in options.parse_devices(device)),
    }
    part = Path(f"{path}.part")
    part.write_text(json.dumps(facts), encoding="utf-8")
    os.replace(part, path)


def _plain(value: Any) -> Any:
    """A frame property as JSON can hold it."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else str(value)
