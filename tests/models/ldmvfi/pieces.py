"""Networks and helpers shared by the tests of LDMVFI."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from tests import building
from tests.building import CPU as CPU
from tests.building import network_of, session_of
from tests.models.regression import SMALLER
from vsvfi.engine.build import LoadedModel
from vsvfi.engine.model import Model
from vsvfi.engine.session import Session
from vsvfi.models.ldmvfi.network import LDMVFI
from vsvfi.models.ldmvfi.spec import FAMILY
from vsvfi.plan.timeline import Interpolate

OUTPUT, INNER = 1e-5, 1e-5  # a tenth of the stated tolerance for outputs; the stated tolerance for checkpoints
(VARIANT,) = FAMILY.variants


@dataclasses.dataclass(frozen=True)
class Stored:
    """The published program's tensors, case metadata and weights, loaded through the public functions."""

    tensors: Mapping[str, Tensor]
    cases: Mapping[str, Any]
    model: LoadedModel

    def network(self, **options: object) -> LDMVFI:
        """Build a network; all networks share the weights."""
        return built(self.model, **options)


def built(model: LoadedModel, **options: object) -> LDMVFI:
    network = network_of(model, 256, 256, None, options)
    assert isinstance(network, LDMVFI)
    return network


def assert_close(name: str, result: Tensor, reference: Tensor, tolerance: float) -> None:
    assert result.shape == reference.shape, name
    assert float((result - reference).norm() / reference.norm()) < tolerance, name


def recorded(session: Session, images: tuple[Tensor, ...], *at: Fraction) -> list[Tensor]:
    """Return a session's frames between the first two images."""
    found: list[Tensor] = []
    for t in at:
        session.interpolate(
            0,
            Interpolate(0, 1, t),
            lambda index, into: into.copy_(images[index]),
            lambda image: found.append(image[None].clone()),
        )
    return found


def opened(model: LoadedModel, images: tuple[Tensor, ...], options: Mapping[str, object], **arguments: Any) -> Session:
    size = (images[0].shape[3], images[0].shape[2])
    return session_of(model, size, None, options, **arguments)


SMALL = LoadedModel(FAMILY, dataclasses.replace(VARIANT, config=SMALLER["ldmvfi"]), {})


def random_images(height: int = 40, width: int = 50, count: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 5, 6, generator=generator)
    return tuple(torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").split(1))


def model_of(model: LoadedModel, **options: object) -> Model:
    return building.model_of(model, None, {"steps": 1, **options})
