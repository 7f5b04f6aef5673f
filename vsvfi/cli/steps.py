"""The user's own VapourSynth steps around the interpolation: a script with `before(clip)` and `after(clip)`.

Both are optional. `before` may change the format, the size and the rate (deinterlacing, inverse telecine) but not the
duration; `after` may change format and size.
"""

from __future__ import annotations

import runpy
from fractions import Fraction
from typing import Any

import vapoursynth as vs

from vsvfi.cli.script_error import script_error


class Steps:
    """The functions of a script.

    Args:
        path: of the script, None for no steps.

    Raises:
        vapoursynth.Error: it has neither function.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._functions: dict[str, Any] = {} if path is None else runpy.run_path(path)
        if path is not None and not any(callable(self._functions.get(name)) for name in ("before", "after")):
            raise script_error(
                "arguments", f"--filter {path} defines neither before(clip) nor after(clip); define one of them"
            )

    def before(self, clip: vs.VideoNode, *, fixed: bool) -> vs.VideoNode:
        """Apply the steps before the interpolation.

        Args:
            fixed: the number of frames must stay, since frames have times of their own or are selected by time.

        Raises:
            vapoursynth.Error: the duration has changed.
        """
        result = self._apply("before", clip)
        duration, now = clip.num_frames / Fraction(clip.fps), result.num_frames / _rate(result)
        if abs(duration - now) > max(1 / Fraction(clip.fps), 1 / Fraction(result.fps)):
            raise script_error(
                "arguments",
                f"--filter: before(clip) changes the duration from {float(duration):.3f} s to {float(now):.3f} s, so "
                "that audio would not fit; keep it, and take a part with --trim",
            )
        if fixed and result.num_frames != clip.num_frames:
            raise script_error(
                "arguments",
                f"--filter: before(clip) changes the number of frames from {clip.num_frames} to {result.num_frames}, "
                "which a variable frame rate, --timecodes and --trim do not allow; keep it",
            )
        return result

    def after(self, clip: vs.VideoNode) -> vs.VideoNode:
        """Apply the steps after the interpolation.

        Raises:
            vapoursynth.Error: number or rate of the frames has changed.
        """
        result = self._apply("after", clip)
        if (result.num_frames, _rate(result)) != (clip.num_frames, Fraction(clip.fps)):
            raise script_error(
                "arguments",
                f"--filter: after(clip) makes {result.num_frames} frames at {result.fps} fps of {clip.num_frames} at "
                f"{clip.fps}; keep number and rate, and change them in before(clip) or with --fps",
            )
        return result

    def _apply(self, name: str, clip: vs.VideoNode) -> vs.VideoNode:
        function = self._functions.get(name)
        if function is None:
            return clip
        result = function(clip)
        if not isinstance(result, vs.VideoNode):
            raise script_error("arguments", f"--filter: {name}(clip) returns {type(result).__name__}; return a clip")
        return result


def _rate(clip: vs.VideoNode) -> Fraction:
    if not clip.fps:
        raise script_error("arguments", "--filter: the frame rate varies after the steps; set one with std.AssumeFPS")
    return Fraction(clip.fps)
