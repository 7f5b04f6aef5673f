"""Common types of the data sets: inputs, timesteps and truths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class View:
    """Preprocessing of every image of a set, inputs and truths alike.

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
        time: timestep between the inputs, in (0, 1).
        truth: the files that hold it: one image, or two flows (to the first and to the last frame).
        name: file name of a stored prediction, without suffix.
    """

    time: Fraction
    truth: tuple[Path, ...]
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """One pair of inputs with its targets.

    Attributes:
        name: unique in its split; identifies results on disk.
        inputs: both images (or both flows, forth and back).
        targets: in order of time.
        view: of the images.
        group: sequence over which scores are averaged first, if the authors do so.
    """

    name: str
    inputs: tuple[Path, Path]
    targets: tuple[Target, ...]
    view: View = WHOLE
    group: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """Return all files that it needs."""
        return (*self.inputs, *(path for target in self.targets for path in target.truth))


@dataclass(frozen=True, slots=True)
class Split:
    """One part of a set, with its own score.

    Attributes:
        name: "easy", "2k", ...; "all" for sets of one part.
        items: in the published order.
        expected: number of targets in the published set, None if unknown.
        sizes: (width, height) of its images before any view; empty if unknown.
        notes: differences from the published set that do not prevent a run.
    """

    name: str
    items: tuple[Item, ...]
    expected: int | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """Arguments of a loader.

    Attributes:
        root: the user's folder.
        splits: names of the requested parts; empty for all of the set (for kinds of a set, all that exist).
        settings: "crop" and "keep_last", for sets that have them.
    """

    root: Path
    splits: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
