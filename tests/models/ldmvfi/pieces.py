"""What the tests of LDMVFI share: how its networks are built and asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from tests.models.regression import SMALLER
from vsvfi.engine.build import Blueprint, Model
from vsvfi.engine.session import Session
from vsvfi.models.ldmvfi.network import LDMVFI
from vsvfi.models.ldmvfi.spec import FAMILY
from vsvfi.plan.timeline import Blend

CPU = torch.device("cpu")
OUTPUT, INNER = 1e-5, 1e-5  # a tenth of what is promised for outputs; what is promised inside
(VARIANT,) = FAMILY.variants


@dataclasses.dataclass(frozen=True)
class Stored:
    """The published program's tensors, the facts of its cases, and the weights it had, loaded through the
    front door."""

    tensors: Mapping[str, Tensor]
    cases: Mapping[str, Any]
    blueprint: Blueprint

    def network(self, **options: object) -> LDMVFI:
        """The weights are shared by all networks."""
        return built(self.blueprint, **options)


def built(blueprint: Blueprint, **options: object) -> LDMVFI:
    network = blueprint.network(blueprint.setup(256, 256, None, options), CPU, torch.float32)
    assert isinstance(network, LDMVFI)
    return network


def assert_close(name: str, result: Tensor, reference: Tensor, tolerance: float) -> None:
    assert result.shape == reference.shape, name
    assert float((result - reference).norm() / reference.norm()) < tolerance, name


def recorded(session: Session, images: tuple[Tensor, ...], *at: Fraction) -> list[Tensor]:
    """What a session makes between the first two images."""
    found: list[Tensor] = []
    for t in at:
        session.blend(
            0,
            Blend(0, 1, t),
            lambda index, into: into.copy_(images[index]),
            lambda image: found.append(image[None].clone()),
        )
    return found


def opened(
    blueprint: Blueprint, images: tuple[Tensor, ...], options: Mapping[str, object], **arguments: Any
) -> Session:
    size = (images[0].shape[3], images[0].shape[2])
    return Session(
        blueprint, devices=[CPU], dtypes=[torch.float32], size=size, scale=None, options=options, **arguments
    )


SMALL = Blueprint(FAMILY, dataclasses.replace(VARIANT, config=SMALLER["ldmvfi"]), {})


def pictures(height: int = 40, width: int = 50, count: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 5, 6, generator=generator)
    return tuple(torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").split(1))


def model_of(blueprint: Blueprint, **options: object) -> Model:
    return Model(blueprint, CPU, torch.float32, None, {"steps": 1, **options})
