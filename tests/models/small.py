"""Small seeded networks of every family, for the laws in `test_laws.py`. A new family adds its cases here."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from tests.building import model_of
from tests.models.regression import GAINS, SMALLER, seeded
from vsvfi.engine.build import AnyInterpolator, LoadedModel
from vsvfi.engine.model import Model
from vsvfi.models.interpolator import Interpolator
from vsvfi.models.registry import families
from vsvfi.models.rife.spec import OTHERS, V40, V46, V425, V426_HEAVY, Version


@dataclasses.dataclass(frozen=True)
class Run:
    """Results of one network on three images, with one pair and one timestep per call.

    Attributes:
        frames: of the three images.
        pairs: of the first two and the last two.
        alone: the first pair at each of the three timesteps.
        other: the second pair at the second timestep.
    """

    frames: list[object]
    pairs: list[object]
    alone: list[Tensor]
    other: Tensor


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One configuration of a family's network.

    Attributes:
        family: name of the family.
        note: distinguishes the case in the name of the test.
        config: arguments of the network class, if not those of the family's first variant.
        arguments: scale and options that the network is built with.
        draw: initialises the weights of a network.
        size: height and width that need no padding.
        near: largest absolute and largest relative difference (L2 norm) if sums are reordered.
        half: largest mean difference of bfloat16; None if too slow on CPUs without it (parts are tested instead).
        times: three timesteps that its weights support.
        trained: gradients reach every weight.
    """

    family: str
    note: str = ""
    config: Mapping[str, object] | None = None
    arguments: Mapping[str, object] = dataclasses.field(default_factory=dict)
    draw: Callable[[nn.Module], None]
    size: tuple[int, int]
    near: tuple[float, float]
    half: float | None = 3e-3
    times: tuple[float, float, float] = (0.2, 0.5, 0.9)
    trained: bool = True

    def __str__(self) -> str:
        return " ".join(filter(None, (self.family, self.note)))

    def network(self) -> AnyInterpolator:
        """Return a new network, always with the same weights."""
        family = next(family for family in families() if family.name == self.family)
        module, _, name = family.network.partition(":")
        config = family.variants[0].config if self.config is None else self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = getattr(importlib.import_module(module), name)(**config, **self.arguments).eval()
            self.draw(network)
        network = network.to(memory_format=torch.channels_last)
        assert isinstance(network, Interpolator)
        return network

    @functools.cached_property
    def shared_network(self) -> AnyInterpolator:
        """Return one network in inference mode, for tests that do not modify it."""
        network = self.network().requires_grad_(False)
        network.prepare_operators()
        return network

    @functools.cached_property
    def run(self) -> Run:
        """Return the reference results."""
        network, times = self.shared_network, torch.tensor(self.times).split(1)
        with torch.inference_mode():
            frames = [network.encode_frame(image) for image in self.images]
            pairs = [network.prepare_pair(frames[k], frames[k + 1]) for k in range(2)]
            alone = [network.synthesise(pairs[0], t) for t in times]
            return Run(frames, pairs, alone, network.synthesise(pairs[1], times[1]))

    def half_network(self) -> AnyInterpolator:
        """Return the same weights in bfloat16, but for those that stay float32."""
        network = self.network().requires_grad_(False)
        for name, weight in [*network.named_parameters(), *network.named_buffers()]:
            if weight.is_floating_point() and not name.startswith(network.full_precision):
                weight.data = weight.data.bfloat16()
        network.prepare_operators()
        return network

    def model(self) -> Model:
        """Return the same weights as a `Model`, which pads and crops."""
        family = next(family for family in families() if family.name == self.family)
        variant = family.variants[0]
        if self.config is not None:
            variant = dataclasses.replace(variant, config=self.config)
        state = self.network().state_dict()
        if self.family == "uprnet":
            variant = family.recognise(variant, state)  # without a search there, where it has none
        options = {name: value for name, value in self.arguments.items() if name != "scale"}
        scale = self.arguments.get("scale", Fraction(1))
        assert isinstance(scale, Fraction)
        return model_of(LoadedModel(family, variant, state), scale, options)

    @functools.cached_property
    def images(self) -> tuple[Tensor, ...]:
        """Return three smooth images [1, 3, H, W]: a small error of the flow is a small error of the frame."""
        height, width = self.size
        coarse = torch.rand((3, 3, height // 8, width // 8), generator=torch.Generator().manual_seed(1))
        return nn.functional.interpolate(coarse, size=self.size, mode="bicubic").clamp(0, 1).split(1)

    def is_near(self, result: Tensor, expected: Tensor) -> bool:
        difference = result - expected
        peak, norm = float(difference.abs().max()), float(difference.norm() / expected.norm())
        return peak <= self.near[0] and norm <= self.near[1]

    def forget(self) -> None:
        """Release the shared network and results."""
        for name in ("shared_network", "run", "images"):
            self.__dict__.pop(name, None)


def _steep(network: nn.Module) -> None:
    """Set PReLU slopes that are also negative and above one."""
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -0.5, 1.5)


def _moving(network: nn.Module) -> None:
    """Set the same slopes, and weights that give a flow of several pixels."""
    _steep(network)
    nn.init.normal_(network.get_submodule("motion_estimator.conv_layer6.0").weight, std=0.5)


def _by_name(gain: float = 1.0, beta: float = 0.0, faint: float = 1.0) -> Callable[[nn.Module], None]:
    """Set weights that depend on their names only; `faint` scales convolutions, `beta` is added to factors."""

    def draw(network: nn.Module) -> None:
        state = seeded({key: tensor.shape for key, tensor in network.state_dict().items()}, gain)
        for key, tensor in state.items():
            if key.endswith("beta"):
                tensor.add_(beta)
            elif tensor.dim() == 4:
                tensor.mul_(faint)
        network.load_state_dict(state, strict=True)

    return draw


def _few_iterations(network: nn.Module) -> None:
    """Reduce the recurrence to three iterations, which are all alike."""
    _by_name(GAINS["gimmvfi"])(network)
    network.get_submodule("flow_estimator").iterations = 3  # type: ignore[assignment]


def _rife(version: Version, **arguments: object) -> Case:
    """Return the case of a version with few channels."""
    widths = tuple(8 * (index % 2 + 1) for index, _ in enumerate(version.widths))
    config = dataclasses.replace(version, widths=widths).config
    note = " ".join([version.name, *arguments])
    draw = _by_name(beta=0.5, faint=0.5)
    return Case(
        family="rife", note=note, config=config, arguments=arguments, draw=draw, size=(128, 128), near=(1e-3, 1e-4)
    )


_UPRNET: dict[str, Any] = {"family": "uprnet", "config": {"width": 4}, "draw": _moving, "near": (1e-3, 1e-5)}
_FINE = {**_UPRNET, "config": {"width": 4, "fine": True, "detail": 0.6}}
_VFIMAMBA: dict[str, Any] = {
    "family": "vfimamba",
    "config": {"width": 4},
    "draw": _steep,
    "near": (1e-4, 1e-4),
    "half": 2e-2,
}
_HALF, _QUARTER = Fraction(1, 2), Fraction(1, 4)
_IFRNET = {"widths": (8, 12, 16, 20), "side": 8}

CASES = (
    Case(family="ifrnet", config=_IFRNET, draw=_steep, size=(32, 48), near=(2e-5, 1e-4)),
    Case(
        family="ifrnet",
        note="half",
        config=_IFRNET,
        arguments={"scale": _HALF},
        draw=_steep,
        size=(32, 64),
        near=(2e-5, 1e-4),
    ),
    Case(**_UPRNET, size=(32, 48), arguments={"levels": 3}),
    Case(**_UPRNET, note="one level", size=(32, 16), arguments={"levels": 1}),
    Case(**_UPRNET, note="half", size=(32, 48), arguments={"scale": _HALF, "levels": 3}),
    Case(**_UPRNET, note="quarter", size=(32, 96), arguments={"scale": _QUARTER, "levels": 4}),
    Case(**_FINE, note="fine", size=(32, 48), arguments={"levels": 3}),
    Case(**_UPRNET, note="search", size=(32, 48), arguments={"levels": 3, "search": True}),
    Case(**_UPRNET, note="ensemble", size=(32, 48), arguments={"levels": 3, "ensemble": 4}),
    Case(**_VFIMAMBA, size=(32, 64)),
    Case(**_VFIMAMBA, note="tta", size=(32, 32), arguments={"tta": True}),
    Case(**_VFIMAMBA, note="half", size=(32, 64), arguments={"scale": _HALF}),
    Case(**_VFIMAMBA, note="half hr tta", size=(32, 32), arguments={"scale": _HALF, "hr": True, "tta": True}),
    Case(**_VFIMAMBA, note="no local", size=(32, 32), arguments={"local": False}),
    *(
        Case(
            family="gimmvfi",
            note=estimator,
            config={"estimator": estimator},
            draw=_few_iterations,
            size=(64, 64),
            near=(1e-4, 1e-4),
            half=10**-2.25,
            trained=False,
        )
        for estimator in ("raft", "flowformer")
    ),
    Case(
        family="ldmvfi",
        config=SMALLER["ldmvfi"],
        arguments={"steps": 1},
        draw=_by_name(),
        size=(40, 56),
        near=(1e-4, 1e-4),
        half=None,
        times=(0.5, 0.5, 0.5),
        trained=False,
    ),
    *map(_rife, (V425, V46, V40, V426_HEAVY, *(version for version in OTHERS if version.steps is not None))),
    _rife(V46, ensemble=True),
)
FIRST = tuple({case.family: case for case in reversed(CASES)}.values())
"""One case of each family."""
SCALES = tuple({(case.family, case.arguments.get("scale")): case for case in reversed(CASES)}.values())
"""One case of each family and scale."""
