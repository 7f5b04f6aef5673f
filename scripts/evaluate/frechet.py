"""FID of all predictions of a split against all truths, by torch-fidelity, which LDMVFI's environment lists."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path

import torch

from vsvfi.errors import ArgumentError


def frechet_distance(predictions: Path, truths: Path, names: Iterable[str]) -> float:
    """FID of two folders of PNG files: InceptionV3 of 2015, 2048 features, pictures resized inside.

    Args:
        predictions, truths: folders with the same file names.
        names: which pictures they have to hold, without suffix.

    Raises:
        ImportError: torch-fidelity is not installed.
        ArgumentError: a folder holds other pictures, which would count too.
    """
    wanted = {f"{name}.png" for name in names}
    for folder in (predictions, truths):
        found = {path.name for path in folder.iterdir()}
        if found != wanted:
            rule = f"holds {len(found - wanted)} other files and lacks {len(wanted - found)}"
            raise ArgumentError("fid", str(folder), rule, "use a folder that holds this split alone")
    try:
        library = importlib.import_module("torch_fidelity")
    except ImportError:
        raise ImportError("torch-fidelity is not installed (pip install torch-fidelity)") from None
    measured = library.calculate_metrics(
        input1=str(predictions), input2=str(truths), fid=True, cuda=torch.cuda.is_available(), verbose=False
    )
    return float(measured["frechet_inception_distance"])
