"""Resolve the options that do not depend on the frame size: variant, model options, devices and types.

Model arguments are checked before torch is imported, so that a wrong argument is reported without delay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from vsvfi.engine.placement import AUTO, Placement, RuntimeChoice
from vsvfi.engine.runtimes.registry import choose, named
from vsvfi.errors import ArgumentError
from vsvfi.models.family import BuildConfig, Family, Variant
from vsvfi.models.registry import check_options, check_scale, find
from vsvfi.options import Options


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The resolved model, independent of the frame size.

    Attributes:
        family, variant: from the registry.
        scale: as given; None for the family's choice.
        options: of the family, checked, with defaults filled in.
        tile: largest edge of a tile, or None; "auto" until the size is known (`memory.fitting_tile`).
        runtime: the one that the user named, or `AUTO`; `place` chooses for each device.
    """

    family: Family
    variant: Variant
    scale: Fraction | None
    options: Mapping[str, object]
    runtime: RuntimeChoice = AUTO
    tile: int | Literal["auto"] | None = None

    @classmethod
    def of(cls, options: Options) -> ModelConfig:
        """Resolve the model of these options.

        Raises:
            UnknownModelError: there is no such model.
            ArgumentError: its family does not accept these options or tiles, or there is no such runtime.
        """
        family, variant = find(options.model)
        runtime = named(options.runtime)
        if isinstance(options.tile, int) and family.no_tiles:
            raise ArgumentError(
                "tile", options.tile, f"is not possible with {family.title}: {family.no_tiles}", "leave it out"
            )
        checked = check_options(family, dict(options.options))
        variant = family.settled(variant, checked)
        return cls(family, variant, options.scale, checked, runtime, None if family.no_tiles else options.tile)

    def adopt(self, variant: Variant) -> ModelConfig:
        """Return a copy for the variant that the weights belong to (`Family.recognise`)."""
        return self if variant == self.variant else replace(self, variant=variant)

    def build_config(self, width: int, height: int) -> BuildConfig:
        """Return the build config of a network for frames of this size.

        Raises:
            ArgumentError: the family does not accept this scale, or the options do not suit the size.
        """
        scale = check_scale(self.family, self.scale, width, height)
        build = self.family.build_config(width, height, scale, self.options, self.variant)
        if not isinstance(self.tile, int):
            return build
        if max(build.padded_size(width, height)) <= self.tile:
            return build
        return replace(build, arguments={**build.arguments, "tile": self.tile})


def place(options: Options, model: ModelConfig) -> tuple[Placement, ...]:
    """Resolve the devices to compute on, each with its type and runtime.

    Raises:
        ArgumentError, DeviceError: a device does not exist, is named twice, or does not support the precision or the
            runtime.
    """
    from vsvfi.engine.device import resolve_device, resolve_precision

    devices = [resolve_device(name) for name in options.devices]
    if len(set(devices)) < len(devices):
        raise ArgumentError(
            "device", list(options.devices), "a list must name different devices", "list each device once"
        )
    precision, half, bfloat = options.precision, model.variant.half, model.variant.bfloat
    return tuple(
        Placement(
            device,
            resolve_precision(precision, device, half=half, bfloat=bfloat),
            choose(model.runtime, device.type, model.family, model.variant),
        )
        for device in devices
    )
