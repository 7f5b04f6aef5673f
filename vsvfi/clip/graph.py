"""Build the filter graph of `interpolate()`.

A node never runs two of its callbacks concurrently, so a fixed pool of K interpolating nodes computes up to K frames at
a time, and all timesteps of a pair go to the same node. Every frame that a callback needs is declared as an input clip;
only the callbacks of `readable` request frames and wait for them, since these may fail.

    source ── facts ── decisions (1x1, aligned to the output)
       │                  │
       ├── chosen source frame ────────────────────────────── finish ── copies ─┐
       └── RGB ── first, second ── pool of K ── back ── finish ── interpolated ─┴─ output
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Literal, Unpack

import vapoursynth as vs

from vsvfi.clip import decisions, scenes
from vsvfi.clip.alignment import Alignment
from vsvfi.clip.alpha import interpolated_alpha, mean_alpha
from vsvfi.clip.check import check_clip
from vsvfi.clip.colour import Colour, frame_format
from vsvfi.clip.copies import Measure
from vsvfi.clip.cross_fade import cross_faded
from vsvfi.clip.durations import DurationOf, constant_durations, split_durations
from vsvfi.clip.failures import reporting
from vsvfi.clip.finish import finished
from vsvfi.clip.lifetime import close_with_environment
from vsvfi.clip.log import inform, library_log_to_core
from vsvfi.clip.motion_blur import check_transfer, motion_blurred, split_samples
from vsvfi.clip.output_timeline import timeline_of
from vsvfi.clip.overlays import Mask, check_mask, kept_mask, restored
from vsvfi.clip.readable import readable
from vsvfi.clip.select import Selection
from vsvfi.clip.stdout import stdout_to_stderr
from vsvfi.clip.version import check_version
from vsvfi.clip.waiting import let_waiting_threads_sleep
from vsvfi.engine.observer import Observer
from vsvfi.engine.run_config import ClipFacts, RunConfig, resolve
from vsvfi.errors import VsvfiError
from vsvfi.options import Arguments, CutMode, DuplicateMode, Excluded, Options, Precision, Rate, SceneMode, parse
from vsvfi.options.ranges import check_within
from vsvfi.plan.assignment import assign_worker
from vsvfi.plan.bisection import MAX_DEPTH, complete_levels
from vsvfi.plan.curve import Curve
from vsvfi.plan.policy import LONGEST_HOLD, Policy
from vsvfi.plan.shutter import shuttered
from vsvfi.plan.timeline import Copy, CrossFade, Interpolate, Timeline
from vsvfi.topics import with_help

if TYPE_CHECKING:
    from vsvfi.engine.session import Session

_MEASURES: dict[DuplicateMode, Measure] = {"retime": "blockiness", "repair": "apart"}


def interpolate(
    clip: vs.VideoNode,
    model: str = "builtin",
    multi: int | float | str | Fraction = 2,
    scale: float | Fraction | None = None,
    *,
    fps: Rate | None = None,
    curve: Curve | None = None,
    weights: str | PathLike[str] | None = None,
    device: str | Sequence[str] = "auto",
    precision: Precision = "auto",
    scene: SceneMode = "auto",
    scene_threshold: float | None = None,
    scene_change: CutMode = "hold",
    duplicates: DuplicateMode = "skip",
    max_hold: int | None = None,
    exclude: Excluded | None = None,
    mask: Mask | None = None,
    shutter: float | Fraction | None = None,
    shutter_samples: int = 8,
    tile: int | Literal["auto"] | None = None,
    streams: int | None = None,
    cache: int | None = None,
    matrix: int | str | None = None,
    options: Mapping[str, object] | None = None,
    runtime: str = "auto",
) -> vs.VideoNode:
    """Raise the frame rate of a clip by interpolating between its frames.

    Output frames at source positions are bit-identical to the source frames. Total duration is preserved exactly. At a
    scene change the frame before it is repeated by default. Precision "auto" is fp16 on CUDA and XPU where the model
    allows it, bf16 for builtin and rife40 on CPUs with bfloat16 instructions, else fp32. Concurrent frames share the
    threads of a CPU. Matrices may be given in other usual spellings ("bt709", "BT.2020").

    Args:
        clip: constant format YUV, RGB or Gray, 8 to 16 bit, half or float; progressive; in RAM.
        model: "builtin" (packaged, no download) or a name from `vsvfi.list_models()`.
        multi: output frames per source frame, 1 or more: an int, a Fraction such as Fraction(5, 2), or "5/2".
        scale: relative resolution of the motion estimation: 1, 0.5 (for 2K), 0.25 (for 4K); None chooses by size.
            A smaller scale is faster and takes less memory; on real footage it loses quality, fast motion included.
        fps: target frame rate: 60, "60000/1001", (60000, 1001), a Fraction, or 59.94 (NTSC); overrides `multi`.
        curve: for speed ramps and reversed playback: the position of each output frame in source frames, as a list, or
            as a function of the output frame's number; the output's rate is `fps`, or `multi` times the clip's.
        weights: a checkpoint file to use instead of the published one.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", "xpu", or a list of devices to share the work.
        precision: "auto", "fp32", "fp16" or "bf16".
        scene: scene changes from "auto" (existing `_SceneChangeNext`, else detected), "props" (only existing) or "off".
        scene_threshold: above 0 and up to 1; smaller detects more scene changes. None for the default.
        scene_change: between the frames around a scene change, "hold" the first, show the "nearest", or "blend" them.
        duplicates: "skip" (repeat duplicate frames), "retime" (turn held drawings into even motion), "repair" (with
            multi=1: interpolate repeated frames that hide a dropped one, and change nothing else) or "off".
        max_hold: with "retime", the longest hold that is re-timed, in source frames (2 to 24); None for 4.
        exclude: source frames that are only repeated: `"[100 250] [900 1200]"` or `[(100, 250), 900]`, ends included.
        mask: what must not move: "auto" (overlays are found), or a Gray clip of the same size, white = keep. There,
            interpolated frames show the nearest source frame.
        shutter: motion blur of a shutter that is open for so many degrees of an output frame, above 0 and up to 360.
        shutter_samples: interpolated times per output frame that `shutter` averages in linear light, 2 to 31.
        tile: where memory is short, the largest edge in pixels of what the network computes at once (512 to 1024), or
            "auto" to choose by the device's memory: for 4K and 8K on small GPUs and CPUs. The result is the same.
        streams: concurrent frames per device; None for 2, or fewer if memory is short.
        cache: maximum MiB of cached frames and pairs per device; None for the device's default.
        matrix: if frames have none: "709", "170m", "470bg", "2020ncl", "240m", "fcc", "ycgco"; None guesses by height.
        options: options of the model family, see its README.
        runtime: how the network is run: "auto" (CUDA graphs on CUDA, else "eager"), "eager", "graph", "compile",
            "onnx" or "onnx:PROVIDER"; `vsvfi doctor` lists what is available here.

    Returns:
        A clip of the same format and size with ceil(frames * factor) frames.

    Raises:
        vapoursynth.Error: "interpolate: ..." with the argument, its value, the rule and the remedy.
    """
    return interpolate_with_config(
        clip,
        model=model,
        multi=multi,
        scale=scale,
        fps=fps,
        curve=curve,
        weights=weights,
        device=device,
        precision=precision,
        scene=scene,
        scene_threshold=scene_threshold,
        scene_change=scene_change,
        duplicates=duplicates,
        max_hold=max_hold,
        exclude=exclude,
        mask=mask,
        shutter=shutter,
        shutter_samples=shutter_samples,
        tile=tile,
        streams=streams,
        cache=cache,
        matrix=matrix,
        options=options,
        runtime=runtime,
    ).clip


@dataclass(frozen=True, slots=True)
class Interpolated:
    """An interpolated clip, its resolved options, its timeline, and how it was made.

    Attributes:
        plan: of `decision_clip`.
        align: aligns source clips to the output.
        facts: about each step of the source.
        kept: where masks keep the source's frames, aligned to the output, or None.
    """

    clip: vs.VideoNode
    config: RunConfig
    timeline: Timeline
    plan: vs.VideoNode
    align: Alignment
    facts: vs.VideoNode
    kept: vs.VideoNode | None


def interpolate_with_config(
    clip: object,
    observer: Observer | None = None,
    times: Sequence[Fraction] | None = None,
    **arguments: Unpack[Arguments],
) -> Interpolated:
    """Like `interpolate()`, for programs that report its settings or observe its progress.

    Args:
        clip: as in `interpolate()`.
        observer: is notified of every network call.
        times: for `fps` with a variable-rate clip: the start of each frame in seconds, and the end of the last.
        arguments: those of `interpolate()`.

    Raises:
        vapoursynth.Error: as in `interpolate()`.
    """
    try:
        check_version()
        options = parse(**arguments)
        return _build(*check_clip(clip), options, observer, times)
    except VsvfiError as error:
        raise vs.Error(f"interpolate: {with_help(str(error), error)}") from None


def _build(
    clip: vs.VideoNode,
    alpha_format: int | None,
    options: Options,
    observer: Observer | None,
    times: Sequence[Fraction] | None,
) -> Interpolated:
    """Build the graph for a checked clip and checked options."""
    check_within(options.exclude, clip.num_frames)
    mask = check_mask(options.mask, clip)
    timeline = timeline_of(clip, options, times)
    transfer = None if options.shutter is None else check_transfer(clip)
    sampled = timeline if options.shutter is None else shuttered(timeline, options.shutter, options.shutter_samples)
    session = _open_session(clip, options, sampled.factor, observer)
    parts = _Parts(clip, alpha_format, options, mask, session, *_rules(clip, options, session.config.bisects))
    split = options.fps is None and options.curve is None
    plan, align = parts.planned(timeline, split_durations(timeline) if split else constant_durations(timeline))
    rate = timeline.rate or Fraction(0, 1)
    output = clip.std.BlankClip(length=timeline.length, fpsnum=rate.numerator, fpsden=rate.denominator, keep=True)
    if transfer is None:
        made = parts.frames(timeline, plan, align, output)
        return Interpolated(made, session.config, timeline, plan, align, parts.facts, parts.kept(align))
    samples_plan, samples_align = parts.planned(sampled, (0, lambda n, frames: None))
    samples = parts.frames(sampled, samples_plan, samples_align, clip.std.BlankClip(length=sampled.length, keep=True))
    shown = align.shown(clip)
    count = options.shutter_samples
    alpha = None if alpha_format is None else mean_alpha(split_samples(samples, count), alpha_format)
    blurred = motion_blurred(samples, samples_plan, count, shown, options.matrix, transfer, alpha)
    averaged = finished(blurred, shown, plan, output, alpha)
    made = output.std.FrameEval(lambda n: averaged, clip_src=averaged)
    return Interpolated(made, session.config, timeline, plan, align, parts.facts, parts.kept(align))


def _rules(clip: vs.VideoNode, options: Options, bisects: bool) -> tuple[Policy, vs.VideoNode, vs.VideoNode]:
    """What decides about frames: the policy, a clip that only informs, and the facts about each step of the source."""
    policy = Policy(
        at_cuts=None if options.scene == "off" else options.scene_change,
        duplicates=options.duplicates,
        longest_hold=options.max_hold or LONGEST_HOLD,
        excluded=options.exclude,
        bisects=bisects,
    )
    # Measurements use a clip that never fails, since they only inform decisions.
    informing = readable(clip)
    facts = scenes.facts(
        informing,
        # keeps the scene marks of the output correct even if cuts are interpolated
        scene="props" if options.scene == "off" else options.scene,
        threshold=options.scene_threshold,
        duplicates=options.duplicates != "off",
        measure=_MEASURES.get(options.duplicates),
    )
    return policy, informing, facts


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the frames of one clip are made with, along any timeline."""

    clip: vs.VideoNode
    alpha_format: int | None
    options: Options
    mask: Mask | None
    session: Session
    policy: Policy
    informing: vs.VideoNode
    facts: vs.VideoNode

    def planned(self, timeline: Timeline, durations: tuple[int, DurationOf]) -> tuple[vs.VideoNode, Alignment]:
        """The plan of a timeline, and what aligns source clips to it."""
        selection = Selection(timeline)
        plan = decisions.decision_clip(self.informing, self.facts, selection, timeline, self.policy, durations)
        return plan, Alignment(selection, plan, self.policy)

    def kept(self, align: Alignment) -> vs.VideoNode | None:
        """Where the mask keeps the source's frames."""
        return None if self.mask is None else kept_mask(self.clip, self.mask, align)

    def frames(self, timeline: Timeline, plan: vs.VideoNode, align: Alignment, output: vs.VideoNode) -> vs.VideoNode:
        """The frames of a timeline: copied, interpolated or cross-faded; as `output` in length and rate."""
        from vsvfi.clip.interpolation_pool import interpolation_pool, rgb_format  # imports torch, as the session did

        clip, session = self.clip, self.session
        transfer_format = rgb_format(session.config.io_dtype)
        colour = Colour(clip, transfer_format, self.options.matrix)
        shown = align.shown(clip)

        def between(
            first: vs.VideoNode, second: vs.VideoNode, layer: int = 0, colour: Colour | None = None
        ) -> vs.VideoNode:
            pool = interpolation_pool(session, first, second, plan, layer, colour)
            template = first.std.BlankClip(length=timeline.length, keep=True)
            return template.std.FrameEval(reporting(_by_pair(pool)), prop_src=plan, clip_src=pool)

        if session.config.frame_format is None:
            rgb = colour.to_rgb(clip)
            first, second = align.first(rgb), align.second(rgb)
            interpolated = colour.from_rgb(between(first, second), shown, first, second)
        else:
            interpolated = between(align.first(clip), align.second(clip), colour=colour)
        kept = self.kept(align)
        if kept is not None:
            interpolated = restored(interpolated, clip, kept, align)
        alpha = None
        if self.alpha_format is not None:
            alpha_between = partial(between, layer=1)
            alpha = interpolated_alpha(
                clip, self.alpha_format, transfer_format, align.first, align.second, alpha_between
            )
        nodes = {
            Copy: finished(shown, shown, plan, output),
            Interpolate: finished(interpolated, shown, plan, output, alpha),
        }
        if self.policy.at_cuts == "blend":
            fades = cross_faded(align.first(clip), align.second(clip), plan)
            nodes[CrossFade] = finished(fades, shown, plan, output)

        def choose(n: int, f: vs.VideoFrame) -> vs.VideoNode:
            return nodes[type(decisions.shown(f))]

        return output.std.FrameEval(reporting(choose), prop_src=plan, clip_src=list(nodes.values()))


def _open_session(clip: vs.VideoNode, options: Options, factor: Fraction, observer: Observer | None) -> Session:
    """Open an engine session for this clip; it closes with the script."""
    video_format = clip.format
    facts = ClipFacts(
        width=clip.width,
        height=clip.height,
        factor=factor,
        # The 11 bits of half precision suffice for up to 10-bit video, and halve the bytes to transfer.
        fits_half=video_format.bits_per_sample <= 10 and video_format.sample_type == vs.INTEGER,
        requests=vs.core.core.num_threads,
        frame_format=frame_format(clip),
    )
    with stdout_to_stderr(), library_log_to_core():
        let_waiting_threads_sleep()
        config = resolve(options, facts)  # before importing torch, so that wrong arguments are reported quickly
        from vsvfi.engine.session import open_session

        session = open_session(config, options, facts, observer)
    close_with_environment(session)
    inform(session.config.describe())
    if session.config.bisects and 2 ** complete_levels(factor) != factor:
        inform(
            f"{options.model} can only interpolate the midpoint of two frames; with factor {factor}, other timesteps "
            f"are rounded to the nearest 1/{2**MAX_DEPTH} and need extra inference passes; use multi=2, 4, 8 or 16 to "
            "avoid this"
        )
    return session


def _by_pair(pool: Sequence[vs.VideoNode]) -> Callable[[int, vs.VideoFrame], vs.VideoNode]:
    """Assign all timesteps of a pair to the same node, so that they are not computed concurrently."""

    def pick(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        return pool[assign_worker(decisions.first_of(f), len(pool))]

    return pick
