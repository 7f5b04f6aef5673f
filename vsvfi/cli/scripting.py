"""Functions for scripts inside vspipe: open a source, write facts for the encoder.

`vsvfi render`, the demo and the examples use them.

Nothing here may write to stdout, which is vspipe's stream.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import vapoursynth as vs

from vsvfi.cli.piping import Piped
from vsvfi.cli.script_error import script_error
from vsvfi.clip.alpha import ALPHA, alpha_of
from vsvfi.clip.props import read_integer
from vsvfi.files import replace
from vsvfi.media.readers import Bestsource

_INSTALL = "pip install vapoursynth-bestsource, which is then used for such files"

_ENCODE = "encode the file again (ffmpeg -i FILE -c:v ffv1 -c:a copy OUT.mkv)"

_WATCH = 0.5
"""Seconds between looks at the parent process."""


def exit_with_parent(parent: int | None) -> None:
    """Watch the process that started vspipe, and exit when it has gone; a killed one cannot stop vspipe.

    Args:
        parent: its number, None to do nothing.
    """
    if parent is None or os.name == "nt":
        return
    started_by = os.getppid()  # not `parent` where vspipe is started through another program

    def watch() -> None:
        while os.getppid() == started_by and _runs(parent):
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _runs(process: int) -> bool:
    """Return whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # one of another user
    return True


def open_video(
    path: str, index: str, stream: int | None = None, decoder: str = "", bestsource: str = ""
) -> vs.VideoNode:
    """Return a video stream of a file, opened by lsmas.

    bestsource is used instead if the file needs it, or if lsmas is missing, cannot decode it or damages the image.

    Args:
        path: the file.
        index: where the source filter may store its index; never beside the video.
        stream: number of the stream in the file, None for the first video.
        decoder: ffmpeg's name of the decoder to prefer, "" for the usual one.
        bestsource: whether it needs bestsource, see `vsvfi.media.readers.Bestsource`.

    Raises:
        vapoursynth.Error: no source filter is installed, or it cannot read the file.
    """
    core = vs.core.core
    name, track = os.path.basename(path), -1 if stream is None else stream
    if hasattr(core, "lsmas") and not (bestsource and hasattr(core, "bs")):
        if bestsource == Bestsource.NEEDED:
            raise script_error(
                "source",
                f"some frames of {name!r} have no timestamp, and the source filter lsmas would give them in another "
                f"order; {_INSTALL}",
            )
        clip, fault = _opened_by_lsmas(path, index, track, decoder)
        damaged = clip is not None and _misread_by_lsmas(clip)
        if clip is not None and not damaged:
            if bestsource:
                _warn(f"the source filter lsmas may give other frames of {name!r} where a part or chunk begins")
            return clip
        if clip is None and not hasattr(core, "bs"):
            raise script_error("source", f"the source filter lsmas {fault}; {_ENCODE}, or {_INSTALL}")
        if clip is not None and not hasattr(core, "bs"):
            _warn(
                "the source filter lsmas sets about 1 % of the samples of RGB with transparency and more than 8 bits "
                "to zero"
            )
            return clip
    if hasattr(core, "bs"):
        try:
            return core.bs.VideoSource(path, track=track, cachemode=4, cachepath=f"{index}.bs")
        except vs.Error as error:
            raise script_error(
                "source", f"the source filter bestsource cannot decode {name!r} ({_plain_reason(error)}); {_ENCODE}"
            ) from None
    raise script_error(
        "installation", "no source filter is installed; pip install vapoursynth-lsmas vapoursynth-bestsource"
    )


def _warn(what: str) -> None:
    vs.core.core.log_message(vs.MESSAGE_TYPE_WARNING, f"{what}; {_INSTALL}")


def _opened_by_lsmas(path: str, index: str, stream: int, decoder: str) -> tuple[vs.VideoNode | None, str]:
    """Open a file with lsmas; returns the clip, or None and why not.

    Files without timestamps fail in several ways: None for raw MJPEG, an error from the filter or from its first frame.
    """
    name = os.path.basename(path)
    preferred = {"decoder": decoder} if decoder else {}
    try:
        clip = vs.core.core.lsmas.LWLibavSource(path, stream_index=stream, cachefile=index, ff_loglevel=0, **preferred)
        if isinstance(clip, vs.VideoNode):
            clip.get_frame(0).close()
            return clip, ""
    except vs.Error as error:
        return None, f"cannot decode {name!r} ({_plain_reason(error)})"
    return None, f"cannot open {name!r}"


def _plain_reason(error: vs.Error) -> str:
    """Return the message of a source filter without its name."""
    return str(error).removeprefix("lsmas: ").removeprefix("VideoSource: ").rstrip(".")


def _misread_by_lsmas(clip: vs.VideoNode) -> bool:
    """Return whether lsmas damages this kind of clip: RGB with transparency and more than 8 bits."""
    if clip.format.color_family != vs.RGB or clip.format.bits_per_sample <= 8:
        return False
    with clip.get_frame(0) as frame:
        return alpha_of(frame.props, clip.width, clip.height) is not None


def show(
    clip: vs.VideoNode,
    rate: str,
    decoded: int,
    hidden: Sequence[int],
    turn: str = "",
    held: Sequence[int] = (),
    *,
    timed: bool = False,
) -> vs.VideoNode:
    """Return the frames of a source filter that a player shows, at a constant rate.

    Args:
        clip: from `open_video`.
        rate: the rate.
        decoded: number of frames in the file; source filters give all of them, or only those that are shown.
        hidden: positions of the frames not shown: an edit list leaves them out, or they cannot be decoded.
        turn: how they are turned, see `vsvfi.media.probe.Media`.
        held: frames shown that last one frame longer, see there too.
        timed: each frame has a time of its own, so none may be missing.

    Raises:
        vapoursynth.Error: the source filter gives another number of frames, and the rate is not constant.
    """
    exact = Fraction(rate)
    if clip.num_frames == decoded and hidden:
        clip = clip.std.DeleteFrames(list(hidden))
    elif clip.num_frames != decoded - len(hidden):
        message = f"the source filter gives {clip.num_frames} frames, the file has {decoded - len(hidden)}"
        if timed or held:
            raise script_error(
                "source", f"{message}, so its frames cannot be placed; remux it (mkvmerge, ffmpeg -c copy)"
            )
        if 2 * clip.num_frames == decoded:  # two packets make a frame: each holds a field
            exact /= 2
        else:
            vs.core.log_message(vs.MESSAGE_TYPE_WARNING, f"{message}; audio may be out of sync")
    clip = clip.std.DuplicateFrames(list(held)) if held else clip
    return _turned(clip.std.AssumeFPS(fpsnum=exact.numerator, fpsden=exact.denominator), turn)


_STEPS: dict[str, Callable[[vs.VideoNode], vs.VideoNode]] = {
    "t": lambda clip: clip.std.Transpose(),
    "h": lambda clip: clip.std.FlipHorizontal(),
    "v": lambda clip: clip.std.FlipVertical(),
}


def _turned(clip: vs.VideoNode, turn: str) -> vs.VideoNode:
    """The clip as its display matrix shows it; a pipe and most containers cannot pass the matrix on."""
    with clip.get_frame(0) as frame:
        transparent = turn and alpha_of(frame.props, clip.width, clip.height) is not None
    alpha = clip.std.PropToClip(ALPHA) if transparent else None
    for step in turn:
        clip = _STEPS[step](clip)
        alpha = alpha and _STEPS[step](alpha)
    clip = clip.std.ClipToProp(alpha, ALPHA) if alpha is not None else clip
    if "t" not in turn:
        return clip
    sited = {0: 5 if "v" in turn else 3, 3: 0}  # chroma on the left moves to the top or the bottom

    def swap(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        copy = f.copy()
        across, down = read_integer(f.props, "_SARNum", 1), read_integer(f.props, "_SARDen", 1)
        copy.props["_SARNum"], copy.props["_SARDen"] = down, across
        location = read_integer(f.props, "_ChromaLocation")
        if location is not None:
            copy.props["_ChromaLocation"] = sited.get(location, location)
        return copy

    clip = clip.std.ModifyFrame(clip, swap)
    video_format = clip.format
    if video_format.subsampling_h > video_format.subsampling_w:  # 4:2:2 turned is 4:4:0, which few encoders support
        wanted = vs.core.core.query_video_format(
            video_format.color_family, video_format.sample_type, video_format.bits_per_sample, 0, 0
        )
        clip = clip.resize.Bicubic(format=wanted.id)
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
        for plane, image in enumerate(drawn.frame(n)):
            np.copyto(np.asarray(out[plane]), image)
        return out

    tagged = rgb.std.ModifyFrame(rgb, draw).std.SetFrameProps(
        _Matrix=vs.MATRIX_RGB, _Range=vs.RANGE_FULL, _Primaries=1, _Transfer=1
    )
    return tagged.resize.Bicubic(format=vs.YUV420P8, matrix=vs.MATRIX_BT709, range=vs.RANGE_LIMITED, dither_type="none")


def leave_facts(
    path: str, source: vs.VideoNode, output: Piped, devices: str, survey: Mapping[str, Any] | None = None
) -> None:
    """Write the properties of `output` that the encoder needs as JSON, atomically.

    Args:
        path: the file; see `vsvfi.media.encoding.Facts`.
        source: the clip before interpolation.
        output: the clip that is piped.
        devices: where it is computed, for messages.
        survey: result of `vsvfi.cli.survey.survey`, None without one.
    """
    clip = output.clip
    with clip.get_frame(0) as frame:
        props = {name: _plain(value) for name, value in frame.props.items() if name != ALPHA}
    video_format = clip.format
    facts = {
        "width": clip.width,
        "height": clip.height,
        "frames": clip.num_frames,
        "rate": str(Fraction(clip.fps)),
        "pixels": output.pixels,
        "encoded": output.encoded,
        "source_frames": source.num_frames,
        "source_rate": str(Fraction(source.fps)),
        "chroma_420": video_format.color_family == vs.YUV
        and video_format.subsampling_w == 1
        and video_format.subsampling_h == 1,
        "props": props,
        "device": devices,
        **({} if survey is None else {"survey": survey}),
    }
    part = Path(f"{path}.part")
    part.write_text(json.dumps(facts), encoding="utf-8")
    replace(part, Path(path))


def _plain(value: Any) -> Any:
    """Convert a frame property to a JSON value."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else str(value)
