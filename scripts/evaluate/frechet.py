"""FID of all predictions of a split against all truths, by torch-fidelity, which LDMVFI's environment lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor

from scripts.evaluate.images import read_image
from vsvfi.errors import ArgumentError
from vsvfi.metrics import Inception, fid


def frechet_distance(predictions: Path, truths: Path, names: Iterable[str], inception: Inception) -> float:
    """FID of two folders of PNG files: InceptionV3 of 2015, 2048 features, images resized inside.

    Args:
        predictions, truths: folders with the same file names.
        names: the required images, without suffix.
        inception: computes the features.

    Raises:
        ArgumentError: a folder has other images, which other programs would include, or fewer than two.
    """
    wanted = {f"{name}.png" for name in names}
    for folder in (predictions, truths):
        found = {path.name for path in folder.iterdir()}
        if found != wanted:
            rule = f"holds {len(found - wanted)} other files and lacks {len(wanted - found)}"
            raise ArgumentError("fid", str(folder), rule, "use a folder that holds this split alone")
    return fid(_images(predictions), _images(truths), inception)


def _images(folder: Path) -> Iterator[Tensor]:
    """Yield images one at a time: a whole set does not fit into memory."""
    for path in sorted(folder.iterdir()):
        yield read_image(path)
