"""The common type of every data set: what to interpolate between, when, and the truth there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class View:
    """What is done to every image of a set before anything else, inputs and truths alike.

    Attributes:
        reduce: halve by area: "float" of the image / 255 in float32, unrounded; "bytes" to 8 bits.
        crop: pixels of a square from the centre, "half" for half of both sides, None for all.
    """

    reduce: Literal["", "float", "bytes"] = ""
    crop: int | Literal["half"] | None = None


WHOLE = View()


@dataclass(frozen=True, slots=True)
class Target:
    """One image to predict.

    Attributes:
        time: where it lies between the inputs, in (0, 1).
        truth: the files that hold it: one image, or two flows (to the first and to the last frame).
        name: what a stored prediction is called, without suffix.
    """

    time: Fraction
    truth: tuple[Path, ...]
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """One pair of inputs with everything that is predicted from it.

    Attributes:
        name: unique in its split; results on disk are found by it.
        inputs: both images (or both flows, forth and back).
        targets: in order of time.
        view: of the images.
        group: sequence that scores are averaged over first, where the authors do so.
    """

    name: str
    inputs: tuple[Path, Path]
    targets: tuple[Target, ...]
    view: View = WHOLE
    group: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that it needs."""
        return (*self.inputs, *(path for target in self.targets for path in target.truth))


@dataclass(frozen=True, slots=True)
class Split:
    """One part of a set that gets a score of its own.

    Attributes:
        name: "easy", "2k", ...; "all" for sets of one part.
        items: in the published order.
        expected: how many targets the published set has, None where nobody says.
        sizes: (width, height) that its images have, before any view; empty where nobody says.
        notes: what was found that differs from the published set but does not stop a run.
    """

    name: str
    items: tuple[Item, ...]
    expected: int | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What a loader is asked for.

    Attributes:
        root: the folder that the user names.
        splits: names of the parts wanted; empty for all that the set has (or that are there, for kinds of a set).
        settings: "crop" and "keep_last", where a set has them.
    """

    root: Path
    splits: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
