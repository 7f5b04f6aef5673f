"""What a training run is made of, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from scripts.train.augment import Augmentation
from scripts.train.schedules import Average, Cosine, Schedule


@dataclass(frozen=True, slots=True)
class Group:
    """A group of an optimiser.

    Attributes:
        rate: the initial learning rate.
        decay: of the weights.
        pattern: the group has the parameters whose names contain it; "" has the rest.
    """

    rate: float
    decay: float = 0.0
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Length:
    """Length of a published run.

    Attributes:
        epochs: passes through the data.
        steps: optimiser steps, where the publication counts those.
    """

    epochs: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A published training run.

    Attributes:
        name: what the user writes.
        model: the model that it trains; `vsvfi.interpolate(model=...)` takes the weights.
        form: name of its training form (`scripts.train.build`).
        data: kinds of data that it is made for; the first is the published one.
        crop: side of the samples in pixels.
        batch: samples per optimiser step, over all processes and accumulated steps.
        augmentation: in order.
        middle_only: the weights only ever see t = 1/2.
        optimiser: its kind; Muon is for the weights of convolutions, and AdamW has the rest.
        betas: of the optimiser.
        groups: the first whose pattern occurs in a parameter's name has it.
        schedule: of the learning rate.
        length: of the published run.
        average: of the weights, if any.
        options: keyword arguments of the network beside its variant's.
        perceptual: the LPIPS network that its losses need.
        autocast: parts of it may run in bfloat16.
        clip_norm: largest gradient norm; None for no limit.
        start: what it begins with, beside its own initial weights.
        operations: multiply-adds of one optimiser step, forward and backward, in units of 10^12.
        cost: GPUs and time of the published run.
        notes: what is not as published, or was not confirmed.
    """

    name: str
    model: str
    form: str
    data: tuple[str, ...]
    crop: int
    batch: int
    augmentation: tuple[Augmentation, ...]
    groups: tuple[Group, ...]
    schedule: Schedule
    length: Length
    middle_only: bool = False
    optimiser: Literal["adam", "adamw", "muon"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    average: Average | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    perceptual: Literal["alex", "vgg"] | None = None
    autocast: bool = False
    clip_norm: float | None = None
    start: str = ""
    operations: float = 0.0
    cost: str = ""
    notes: tuple[str, ...] = ()


FINE_BATCH = 8
FINE_RATE = 0.1
"""Of the recipe's own rates."""


def fine_tuned(recipe: Recipe) -> Recipe:
    """Return the recipe for going on from published weights on little data: small rates, an average, clipped gradients.

    The ratio of the groups' rates stays constant, and colour and time are augmented as published; frames are not turned
    or mirrored vertically, since a show has an up and a down.

    Raises:
        ValueError: the recipe cannot be fine-tuned.
    """
    if recipe.form == "packaged":
        raise ValueError(f"train: {recipe.name} with --data video, has procedural samples alone; use builtin_uprnet")
    if recipe.form in ("gimm", "ldmvfi_autoencoder", "ldmvfi_unet"):
        raise ValueError(
            f"train: {recipe.name} with --data video, is not offered: it needs flows or would memorise one film; "
            "use an ifrnet, uprnet, vfimamba or gimmvfi recipe"
        )
    kept = tuple(
        step for step in recipe.augmentation if step.name in ("reverse_channels", "mirror_horizontally", "reverse_time")
    )
    return replace(
        recipe,
        batch=FINE_BATCH,
        augmentation=kept,
        groups=tuple(replace(group, rate=FINE_RATE * group.rate) for group in recipe.groups),
        schedule=Cosine(0.1, warmup=200, proportional=True),
        average=Average(0.999),
        clip_norm=1.0,
    )


def with_rate(recipe: Recipe, rate: float) -> Recipe:
    """Return the recipe with another initial rate of its first group; other groups and the final rate keep the ratio.

    Raises:
        ValueError: the rate is not above 0.
    """
    if not 0 < rate < 1:
        raise ValueError(f"train: --rate={rate}, must be above 0 and below 1; published rates are 1e-5 to 3e-4")
    factor = rate / recipe.groups[0].rate
    schedule = recipe.schedule
    if isinstance(schedule, Cosine) and not schedule.proportional:
        schedule = replace(schedule, end=factor * schedule.end)
    return replace(
        recipe, groups=tuple(replace(group, rate=factor * group.rate) for group in recipe.groups), schedule=schedule
    )
