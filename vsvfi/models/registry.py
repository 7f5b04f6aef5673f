"""Find every model family, without importing torch.

A family is a folder beside this file (or on `vsvfi.models.__path__`) with a `spec.py` that holds `FAMILY`. A broken
spec raises `ModelSpecError`; it is never skipped.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from fractions import Fraction

from vsvfi import models
from vsvfi.errors import ArgumentError, ModelSpecError, UnknownModelError, VsvfiError, shown, type_name
from vsvfi.models.family import Family, Variant
from vsvfi.options.values import plain


def families() -> tuple[Family, ...]:
    """Return every family, sorted by name.

    Raises:
        ModelSpecError: a spec does not import, holds no `Family`, or claims a name that is taken.
    """
    found: list[Family] = []
    taken: dict[str, str] = {}
    for entry in pkgutil.iter_modules(models.__path__):
        module = f"{models.__name__}.{entry.name}.spec"
        try:
            if not entry.ispkg or importlib.util.find_spec(module) is None:
                continue
            family = importlib.import_module(module).FAMILY
        except Exception as error:
            raise ModelSpecError(entry.name, f"cannot be read ({type(error).__name__}: {error})") from error
        if not isinstance(family, Family):
            raise ModelSpecError(
                entry.name, f"FAMILY is a {type(family).__name__}, must be a vsvfi.models.family.Family"
            )
        if family.name != entry.name:
            raise ModelSpecError(entry.name, f"FAMILY.name={family.name!r}, must be the name of its folder")
        for variant in family.variants:
            if variant.name in taken:
                raise ModelSpecError(
                    entry.name, f"the model name {variant.name!r} is already used by the family {taken[variant.name]!r}"
                )
            taken[variant.name] = family.name
        found.append(family)
    return tuple(sorted(found, key=lambda family: family.name))


def model_names() -> list[str]:
    """Return every name that `model=` accepts."""
    return [variant.name for family in families() for variant in family.variants]


def find(name: str) -> tuple[Family, Variant]:
    """Return the family and variant of a model name.

    Raises:
        UnknownModelError: no such model; the message names the nearest ones.
    """
    for family in families():
        for variant in family.variants:
            if variant.name == name:
                return family, variant
    raise UnknownModelError(name, model_names())


def check_scale(family: Family, scale: Fraction | None, width: int, height: int) -> Fraction:
    """Return the scale to build with: the given one if the family accepts it, or its default for this size if None."""
    if scale is None:
        return family.default_scale(width, height)
    if family.scales is not None and scale not in family.scales:
        allowed = ", ".join(str(float(value)) for value in family.scales)
        raise ArgumentError(
            "scale",
            float(scale),
            f"is not a scale that {family.title} supports",
            f"use one of {allowed}, or None for its own choice",
        )
    return scale


def check_options(family: Family, options: dict[str, object]) -> dict[str, object]:
    """Validate `options=` against the family's schema and fill in its defaults."""
    checked = dict(family.option_defaults)
    for name, value in options.items():
        if name not in family.options:
            remedy = f"it takes {', '.join(sorted(family.options))}" if family.options else "leave options= out"
            raise ArgumentError("options", {name: value}, f"{family.title} has no option {shown(name)}", remedy)
        try:
            checked[name] = family.options[name].read(plain(value))
        except VsvfiError:
            raise
        except Exception as error:  # ValueError states the rule; anything else comes from a method of the value
            rule = str(error) if type(error) is ValueError else f"cannot be read ({type_name(error)})"
            raise ArgumentError(
                f"options[{name!r}]", value, rule, f"see the README of vsvfi/models/{family.name}"
            ) from None
    return checked
