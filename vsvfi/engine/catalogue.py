"""List every available model, with the details needed to choose one.

Checks which weight files exist, but neither opens them nor accesses the network; does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from vsvfi.models.registry import families
from vsvfi.weights.fetch import installed


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One model.

    Attributes:
        name: what `model=` takes.
        family: the architecture's folder under `vsvfi/models/`.
        title: display name of the architecture.
        parameters: number of weights.
        licence: of the weights.
        size_bytes: of the weight file, where it is installed or its size is published.
        timesteps: "any", or "half" if the weights only support t = 1/2 and other timesteps use bisection.
        installed: whether the weights are on this machine.
        path: of the installed weights.
        sources: where the weights can be downloaded, best first.
        note: one line.
    """

    name: str
    family: str
    title: str
    parameters: int
    licence: str
    size_bytes: int | None
    timesteps: str
    installed: bool
    path: str | None
    sources: tuple[str, ...]
    note: str


def list_models() -> list[ModelInfo]:
    """Every model that `model=` takes, by family.

    Raises:
        ModelSpecError: a family's specification is broken.
    """
    found = []
    for family in families():
        for variant in family.variants:
            path = installed(variant.sources)
            published = next((source.size for source in variant.sources if source.size is not None), None)
            found.append(
                ModelInfo(
                    name=variant.name,
                    family=family.name,
                    title=family.title,
                    parameters=variant.parameters,
                    licence=variant.licence,
                    size_bytes=published if path is None else path.stat().st_size,
                    timesteps=variant.timesteps.value,
                    installed=path is not None,
                    path=None if path is None else str(path),
                    sources=tuple(map(str, variant.sources)),
                    note=variant.note,
                )
            )
    return found
