"""Parse and check the arguments of `interpolate()`, independent of clip, model and device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypedDict

from vsvfi.options.arguments import (
    CUT_MODES,
    DUPLICATE_MODES,
    MATRICES,
    PRECISIONS,
    SCENE_MODES,
    CutMode,
    Devices,
    DuplicateMode,
    Precision,
    Rate,
    SceneMode,
    parse_cache,
    parse_curve,
    parse_devices,
    parse_duplicates,
    parse_mask,
    parse_matrix,
    parse_max_hold,
    parse_model,
    parse_model_options,
    parse_multi,
    parse_precision,
    parse_rate,
    parse_runtime,
    parse_scale,
    parse_scene,
    parse_scene_change,
    parse_shutter,
    parse_shutter_samples,
    parse_streams,
    parse_threshold,
    parse_tile,
    parse_weights,
)
from vsvfi.options.ranges import Excluded, Ranges, parse_exclude

__all__ = [
    "CUT_MODES", "DUPLICATE_MODES", "MATRICES", "PRECISIONS", "SCENE_MODES", "Arguments", "CutMode", "Devices",
    "DuplicateMode", "Excluded", "Options", "Precision", "Rate", "SceneMode", "parse",
    "parse_devices", "parse_model_options", "parse_multi", "parse_precision", "parse_rate", "parse_runtime",
    "parse_scale", "parse_tile", "parse_weights",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The parsed arguments of `interpolate()`.

    Attributes:
        model: name of the model.
        multi: output frames per source frame (>= 1); ignored if `fps` is given.
        fps: target frame rate in frames per second, or None.
        curve: positions of the output frames, or a function of their numbers, or None.
        scale: resolution of the motion estimation relative to the clip, or None for the family's choice.
        weights: a checkpoint to use instead of the published one.
        devices: torch device names; "auto" alone means the best available one.
        precision: arithmetic of the network.
        scene: source of scene changes.
        scene_threshold: threshold of the built-in scene change detection, 0 to 1, or None for its default.
        scene_change: what is shown between the frames on both sides of a scene change.
        duplicates: handling of duplicate frames.
        max_hold: longest hold of a drawing that is re-timed, in source frames, or None for the default.
        exclude: source frames that are only repeated while they are shown.
        mask: what must not move: "auto", a clip, or None.
        shutter: degrees of the shutter that blurs motion, or None.
        shutter_samples: interpolated times per output frame that it averages.
        tile: largest edge in pixels of what a network computes at once, "auto" by the device's memory, or None for all.
        streams: number of concurrent frames, or None for the device's default.
        cache: maximum bytes of the frame and pair caches, or None for the device's default.
        matrix: H.273 code to assume for frames without `_Matrix`, or None to guess by height.
        options: options of the model's family.
        runtime: how networks are run: "auto", or the name of a runtime (`vsvfi.engine.runtimes`) and of its provider
            after a colon.
    """

    model: str = "builtin"
    multi: Fraction = Fraction(2)
    fps: Fraction | None = None
    curve: object = None
    scale: Fraction | None = None
    weights: Path | None = None
    devices: tuple[str, ...] = ("auto",)
    precision: Precision = "auto"
    scene: SceneMode = "auto"
    scene_threshold: float | None = None
    scene_change: CutMode = "hold"
    duplicates: DuplicateMode = "skip"
    max_hold: int | None = None
    exclude: Ranges = ()
    mask: object = None
    shutter: Fraction | None = None
    shutter_samples: int = 8
    tile: int | Literal["auto"] | None = None
    streams: int | None = None
    cache: int | None = None
    matrix: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    runtime: str = "auto"


class Arguments(TypedDict, total=False):
    """The arguments that `parse` takes."""

    model: object
    multi: object
    scale: object
    fps: object
    curve: object
    weights: object
    device: object
    precision: object
    scene: object
    scene_threshold: object
    scene_change: object
    duplicates: object
    max_hold: object
    exclude: object
    mask: object
    shutter: object
    shutter_samples: object
    tile: object
    streams: object
    cache: object
    matrix: object
    options: object
    runtime: object


def parse(
    *,
    model: object = "builtin",
    multi: object = 2,
    scale: object = None,
    fps: object = None,
    curve: object = None,
    weights: object = None,
    device: object = "auto",
    precision: object = "auto",
    scene: object = "auto",
    scene_threshold: object = None,
    scene_change: object = "hold",
    duplicates: object = "skip",
    max_hold: object = None,
    exclude: object = None,
    mask: object = None,
    shutter: object = None,
    shutter_samples: object = 8,
    tile: object = None,
    streams: object = None,
    cache: object = None,
    matrix: object = None,
    options: object = None,
    runtime: object = "auto",
) -> Options:
    """Check every argument and convert it to its canonical form.

    Raises:
        ArgumentError: with the argument, its value, the rule and the remedy.
    """
    return Options(
        model=parse_model(model),
        multi=parse_multi(multi),
        fps=None if fps is None else parse_rate(fps),
        curve=parse_curve(curve),
        scale=parse_scale(scale),
        weights=parse_weights(weights),
        devices=parse_devices(device),
        precision=parse_precision(precision),
        scene=parse_scene(scene),
        scene_threshold=parse_threshold(scene_threshold),
        scene_change=parse_scene_change(scene_change),
        duplicates=parse_duplicates(duplicates),
        max_hold=parse_max_hold(max_hold),
        exclude=parse_exclude(exclude),
        mask=parse_mask(mask),
        shutter=parse_shutter(shutter),
        shutter_samples=parse_shutter_samples(shutter_samples),
        tile=parse_tile(tile),
        streams=parse_streams(streams),
        cache=parse_cache(cache),
        matrix=parse_matrix(matrix),
        options=parse_model_options(options),
        runtime=parse_runtime(runtime),
    )
