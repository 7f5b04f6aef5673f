"""`vsvfi compare`: find which model interpolates a video best, and its speed on this machine.

Every second frame at some places of the video is removed, predicted by each model, and compared with the true one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsvfi import options
from vsvfi.cli.checks import check_at_least
from vsvfi.cli.console import say
from vsvfi.cli.interrupts import interruptible, shielded
from vsvfi.cli.output import Output
from vsvfi.cli.programs import find_ffmpeg
from vsvfi.cli.render import readable_name
from vsvfi.cli.render_options import add_tile
from vsvfi.compare.deadline import Deadline
from vsvfi.engine.catalogue import list_models
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.models.registry import find
from vsvfi.packages import is_installed
from vsvfi.plan.rates import source_rate_for

if TYPE_CHECKING:
    from vsvfi.compare.result import Result
    from vsvfi.compare.session import Maker
    from vsvfi.compare.source import Conversion, Source
    from vsvfi.media.probe import Media

HELP = "find the best model for a video: remove frames, predict them with each model, compare"

BASELINES = ("blend", "DIS flow", "minterpolate")
_SEARCH = 0.2
"""Share of the time that is spent on finding places."""
_LOOKED_AT = 6
"""Places looked at for each that is used."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", type=Path, help="the file to compare models on")
    parser.add_argument(
        "--models", help="names from 'vsvfi models', separated by commas (default: all that are installed)"
    )
    parser.add_argument(
        "-o", "--output", metavar="PAGE", type=Path, help="the page to write (default: VIDEO's name with .compare.html)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the page if it exists")
    parser.add_argument("--json", action="store_true", help="print the figures for programs on stdout")
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="time for everything but writing the page (default: 5)"
    )
    parser.add_argument("--places", type=int, default=12, help="places at most, two frames each (default: 12)")
    parser.add_argument("--images", type=int, default=6, help="places to show images of (default: 6)")
    parser.add_argument("--multi", help="state the cost for so many frames per source frame (default: 2)")
    parser.add_argument("--fps", help="state the cost for this frame rate instead")
    parser.add_argument("--scale", type=float, help="resolution of the motion estimation: 1, 0.5 (2K), 0.25 (4K)")
    add_tile(parser)
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 ...")
    parser.add_argument("--precision", default="auto", help="auto (default), fp32, fp16, bf16")
    parser.add_argument("--no-baselines", action="store_true", help=f"without {', '.join(BASELINES)}")


def main(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    check_at_least(arguments, 1, "places", "images")
    if not 0 < arguments.minutes <= 10_000:
        raise ArgumentError("minutes", arguments.minutes, "must be above 0", "leave it out for 5")
    models = chosen_models(arguments.models)
    checked = options.parse(
        model=models[0], scale=arguments.scale, device=arguments.device, precision=arguments.precision,
        tile=arguments.tile,
        **{name: getattr(arguments, name) for name in ("multi", "fps") if getattr(arguments, name) is not None},
    )  # fmt: skip
    if checked.fps is not None and arguments.multi is not None:
        raise ArgumentError("multi", arguments.multi, "cannot be given together with fps=", "give one of them")
    if not os.path.isfile(arguments.video):
        raise VsvfiError(f"{arguments.video} is not a file; give the video to compare models on")
    page = arguments.output or Path(f"{arguments.video.stem}.compare.html")
    deadline = Deadline(60 * arguments.minutes - (time.monotonic() - began))
    try:
        with interruptible(), Output(page, [arguments.video], overwrite=arguments.overwrite) as claimed:
            result, interrupted = _compare(arguments, models, checked, claimed, deadline)
            with shielded():
                _write(result, claimed, arguments.images)
    except KeyboardInterrupt:
        _leave_if_busy(deadline, 130)
        raise
    except VsvfiError as error:
        if deadline.busy:
            say(f"vsvfi: {error}")
            _leave_if_busy(deadline, 1)
        raise
    if arguments.json:
        print(json.dumps(result.as_json()))
    for line in [*summary(result), f"page: {page}", *_next_command(arguments, result)]:
        say(line)
    code = 130 if interrupted else 0 if result.places else 1
    _leave_if_busy(deadline, code)
    return code


def _leave_if_busy(deadline: Deadline, code: int) -> None:
    """End the process now if a call is still running: it cannot be stopped, and an exit would wait for it."""
    if deadline.busy:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, AttributeError):
                stream.flush()
        os._exit(code)


def chosen_models(text: str | None) -> list[str]:
    """The models to compare: those named, or all that are installed.

    Raises:
        ArgumentError: one is unknown, or none is named.
    """
    if text is None:
        found: dict[object, str] = {}
        for model in list_models():
            if model.installed:  # a model under two names counts once
                _, variant = find(model.name)
                found.setdefault((model.path, repr(replace(variant, name="", note=""))), model.name)
        return list(found.values())
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ArgumentError("models", text, "does not name a model", "see 'vsvfi models', or leave it out")
    for name in names:
        find(name)
    return names


def _compare(
    arguments: argparse.Namespace, models: Sequence[str], checked: options.Options, claimed: Output, deadline: Deadline
) -> tuple[Result, bool]:
    """Return the result, and whether the user stopped it.

    Raises:
        VsvfiError: the video cannot be compared, or the time was over before the first place.
    """
    progress = Progress(deadline.until)
    progress("reading the video", 0.0)
    source, conversion = _in_time(deadline, "reading the video", lambda: _read(arguments.video, claimed.scratch))
    from vsvfi.compare.result import Result
    from vsvfi.compare.scores import scores
    from vsvfi.compare.session import Comparison
    from vsvfi.engine.device import describe, resolve_device

    clip = source.clip
    rate = source.rate()
    factor = checked.multi if checked.fps is None else checked.fps / source_rate_for(checked.fps, rate)
    result = Result(
        arguments.video.name, (clip.width, clip.height), clip.num_frames, rate, factor,
        ", ".join(describe(resolve_device(name)) for name in checked.devices), times=source.times,
    )  # fmt: skip
    try:
        places = _in_time(deadline, "looking for places", lambda: _places(arguments, source, progress))
        given = {name: getattr(arguments, name) for name in ("scale", "device", "precision", "tile")}
        makers = _makers(
            models, source, conversion, given, result, deadline.until, baselines=not arguments.no_baselines
        )
        measures = _in_time(deadline, "loading LPIPS", lambda: scores(*result.size, checked.devices[0]))
        comparison = Comparison(source, conversion, makers, frozenset(models), measures, result, deadline, progress)
        comparison.run(places)
    except KeyboardInterrupt:
        result.complete = False
        if not result.places:
            raise
    progress.end()
    _add_hours(result)
    return result, not result.complete


def _in_time[Found](deadline: Deadline, doing: str, function: Callable[[], Found]) -> Found:
    """Return what a call returns.

    Raises:
        VsvfiError: the time was over before.
    """
    try:
        return deadline.call(function)
    except TimeoutError:
        raise VsvfiError(f"the time was over while {doing}; use more --minutes") from None


def _read(video: Path, scratch: Path) -> tuple[Source, Conversion]:
    """Open the video, and import what compares it."""
    importlib.import_module("vsvfi.compare.scores")
    from vsvfi.compare.source import Conversion
    from vsvfi.media.probe import probe

    path = readable_name(video, scratch)
    source = _open(probe(path), path, scratch)
    return source, Conversion(source.clip)


def _places(arguments: argparse.Namespace, source: Source, progress: Progress) -> list[Any]:
    """The places to compare at.

    Raises:
        VsvfiError: the video has none.
    """
    from vsvfi.compare.places import RUN, choose

    found = source.candidates(
        _LOOKED_AT * arguments.places,
        _SEARCH * 60 * arguments.minutes,
        lambda done, of: progress(f"looking for places, {done} of {of}", 0.0),
    )
    places = choose(found, arguments.places)
    if not places:
        raise VsvfiError(
            f"{arguments.video} has no {RUN} different frames in a row without a scene cut; give a longer video"
        )
    return places


def _open(media: Media, path: Path, scratch: Path) -> Source:
    """The video as a player shows it."""
    import vapoursynth as vs

    from vsvfi.cli.scripting import open_video, show
    from vsvfi.compare.source import Source

    clip = open_video(str(path), str(scratch / "index.lwi"), media.video.index, media.decoder, media.bestsource)
    clip = show(clip, str(media.rate), media.decoded, media.hidden, media.turn, media.held, timed=bool(media.times))
    if clip.format is None or clip.format.color_family == vs.UNDEFINED or not clip.width:
        raise VsvfiError(f"{path.name} changes its size or format; pass a part of it with one size and format")
    return Source(clip, media.times)


def _makers(
    models: Sequence[str],
    source: Source,
    conversion: Conversion,
    given: Mapping[str, Any],
    result: Result,
    until: float,
    *,
    baselines: bool,
) -> dict[str, Maker]:
    """Return how to create each method, small models first; unavailable ones are recorded in `result`."""
    from vsvfi.compare.methods import Model, Plain, blend, block_matching

    makers: dict[str, Maker] = {}
    if baselines:
        makers["blend"] = lambda kept: Plain("blend", conversion, blend)
        if is_installed("cv2"):
            from vsvfi.compare.dis_flow import between

            makers["DIS flow"] = lambda kept: Plain("DIS flow", conversion, between)
        else:
            result.left_out["DIS flow"] = "OpenCV is not installed; pip install opencv-python-headless"
        try:
            ffmpeg = find_ffmpeg()
        except VsvfiError as error:
            result.left_out["minterpolate"] = str(error)
        else:
            makers["minterpolate"] = lambda kept: Plain("minterpolate", conversion, block_matching(ffmpeg, until))
    for name in sorted(models, key=lambda name: find(name)[1].parameters):  # a large one might use up the time
        makers[name] = lambda kept, name=name: Model(name, source.clip, kept, conversion, given)  # type: ignore[misc]
    return makers


def _add_hours(result: Result) -> None:
    from vsvfi.compare.cost import hours
    from vsvfi.engine.model_config import ModelConfig

    width, height = result.size
    for tally in result.ranked:
        bisection = False
        if tally.model:
            config = ModelConfig.of(options.Options(model=tally.name))
            bisection = config.variant.uses_bisection(config.build_config(width, height))
        result.hours[tally.name] = hours(result.frames, result.factor, tally.seconds_per_frame, bisection=bisection)


def _write(result: Result, claimed: Output, images: int) -> None:
    from vsvfi.compare.page import page

    claimed.begin().write_text(page(result, images), encoding="utf-8")
    claimed.publish()


def summary(result: Result) -> list[str]:
    """Format the result as text."""
    from vsvfi.compare.result import duration

    lines = [*result.verdict(), ""]
    for tally in result.ranked:
        scores = "".join(f"  {score} {tally.mean(score):7.3f}" for score in tally.scores)
        cost = f"{duration(tally.seconds_per_frame)} per new frame, {duration(3600 * result.hours[tally.name])} in all"
        lines.append(f"  {tally.name:<16}{scores}  {cost}")
    lines += [f"  {name:<16}  left out: {reason}" for name, reason in result.left_out.items()]
    return lines


def _next_command(arguments: argparse.Namespace, result: Result) -> list[str]:
    """Return the command that renders the video with the best model; none if no model was compared."""
    best = next((tally.name for tally in result.ranked if tally.model), None)
    if best is None:
        return []
    wanted = "fps" if arguments.fps is not None else "multi"
    given = {name: getattr(arguments, name) for name in (wanted, "scale", "device", "precision")}
    options = [f"--{name} {value}" for name, value in given.items() if value not in (None, "auto")]
    video = arguments.video
    named = [shlex.quote(str(path)) for path in (video, video.with_name(f"{video.stem}_{best}.mkv"))]
    return [" ".join(["next: vsvfi render", named[0], "-o", named[1], "--model", best, *options])]


class Progress:
    """Show progress: one line on a terminal; elsewhere a line for each stage and every ten seconds.

    Args:
        until: the deadline, by `time.monotonic()`.
    """

    def __init__(self, until: float) -> None:
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._until, self._last, self._stage = until, float("-inf"), ""

    def __call__(self, text: str, done: float) -> None:
        now = time.monotonic()
        stage = text.partition(",")[0]
        if now - self._last < (0.2 if self._terminal else 10) and stage == self._stage:
            return
        self._last, self._stage = now, stage
        line = f"{text} ({100 * done:.0f} %, at most {max(self._until - now, 0) / 60:.1f} minutes left)"
        say(f"\r{line:<78}" if self._terminal else line, end="" if self._terminal else "\n")

    def end(self) -> None:
        """End the line."""
        if self._terminal:
            say("")
