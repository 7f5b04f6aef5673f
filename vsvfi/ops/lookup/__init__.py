"""Look up correlations around the positions that a flow points to (RAFT, section 3.2).

`correlate` correlates two feature maps, as volumes or on demand, and `lookup` samples windows from the result with the
torch operator `vsvfi::lookup` (`op`). The definition is `reference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.ops.lookup import op, reference

_PATCH = 100
"""Target pixels that the usual 9x9 window samples."""

_WORTH = {"cpu": 0.5}
"""Cost of a product on demand relative to one of a matrix product, by device.

Low on CPUs, where large volumes miss all caches; the value for other devices is a guess that favours volumes.
"""

BUDGET = 1 << 30
"""Default limit for the volumes of one `correlate`, in bytes."""


@dataclass(frozen=True, slots=True)
class Volume:
    """Precomputed correlations of all pairs: for each source pixel and level, an image over the target's pixels.

    Attributes:
        levels: [B, H * W, h, w] each, the first at the target's own size.
    """

    levels: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class OnDemand:
    """The features, whose correlations are computed on demand.

    Attributes:
        source: [B, C, H, W], multiplied by the factor.
        targets: [B, C, h, w] each, the first at the target's own size.
    """

    source: Tensor
    targets: tuple[Tensor, ...]


type Correlation = Volume | OnDemand


def correlate(
    source: Tensor,
    target: Tensor,
    *,
    levels: int,
    factor: float = 1.0,
    budget: int = BUDGET,
    lookups: int | None = None,
) -> Correlation:
    """Correlate every pixel of `source` with every pixel of `target`: C[p, q] = factor * <source[p], target[q]>.

    Level l uses the target averaged over 2^l x 2^l pixels (odd sizes drop their last row or column at each halving).
    Averaging features is equivalent to averaging products, so both forms have the same values up to rounding.

    Args:
        source: [B, C, H, W], any floating type; volumes have it too.
        target: [B, C, h, w], the same type.
        levels: number of levels; 1 for the target's own size only.
        factor: see above.
        budget: maximum bytes of the volumes; beyond it products are computed on demand.
        lookups: expected number of look-ups with usual windows, if known; volumes are then only built if cheaper.

    Raises:
        ValueError: shapes or types differ, or the target is too small for this many levels.
    """
    if source.dim() != 4 or target.dim() != 4 or source.shape[:2] != target.shape[:2] or source.dtype != target.dtype:
        raise ValueError(
            f"correlate: target={_facts(target)}, must be [B, C, h, w] with batch, channels and type of "
            f"source={_facts(source)}"
        )
    if levels < 1 or min(target.shape[2:]) < 1 << (levels - 1):
        raise ValueError(
            f"correlate: levels={levels}, must be 1 or more "
            f"and halve target={tuple(target.shape)} to 1 pixel at the least"
        )
    source = (source * factor).contiguous(memory_format=torch.channels_last)
    targets = [target.contiguous(memory_format=torch.channels_last)]
    while len(targets) < levels:
        targets.append(functional.avg_pool2d(targets[-1], 2))
    if volume_bytes(source, targets) > budget or not (lookups is None or _volumes_pay(targets, lookups)):
        return OnDemand(source, tuple(targets))
    rows = source.flatten(2).transpose(1, 2)
    return Volume(
        tuple(torch.bmm(rows, level.flatten(2)).reshape(*rows.shape[:2], *level.shape[2:]) for level in targets)
    )


def _volumes_pay(targets: Sequence[Tensor], lookups: int) -> bool:
    """Whether computing all products at once is cheaper than computing those of so many look-ups on demand.

    Always true for the reference, whose products on demand are slow.
    """
    device = targets[0].device.type
    if op.LOOKUP.choice(device).name == "reference":
        return True
    return (
        sum(target.shape[2] * target.shape[3] for target in targets)
        <= _WORTH.get(device, 8.0) * lookups * len(targets) * _PATCH
    )


def volume_bytes(source: Tensor, targets: Sequence[Tensor]) -> int:
    """Bytes of the volumes of these features."""
    batch, _, height, width = source.shape
    return batch * height * width * sum(target.shape[2] * target.shape[3] for target in targets) * source.element_size()


def lookup(correlation: Correlation, centres: Tensor, radius: int) -> Tensor:
    """Sample the window around each source pixel's centre at every level.

    Channel d * d * l + d * i + j, with d = 2 * radius + 1, samples level l at (x / 2^l + i - radius, y / 2^l + j -
    radius), bilinearly: the slow index of the window moves x. Pixels outside count as zero; so do levels that are one
    pixel wide or high, and windows whose centre is not finite.

    Args:
        correlation: from `correlate`; a batch of 1 is broadcast.
        centres: [B, 2, H, W] in pixels of the target, x then y; used in float32.
        radius: of the window, 0 or more.

    Returns:
        [B, L * d * d, H, W] in the type of the correlation, channels last in memory.

    Raises:
        ValueError: centres that do not fit, or a negative radius.
    """
    given = (
        correlation.levels[0].shape[:2]
        if isinstance(correlation, Volume)
        else (correlation.source.shape[0], correlation.source[0, 0].numel())
    )
    if (
        centres.dim() != 4
        or centres.shape[1] != 2
        or given[0] not in (1, centres.shape[0])
        or given[1] != centres[0, 0].numel()
    ):
        raise ValueError(
            f"lookup: centres={tuple(centres.shape)}, must be [B, 2, H, W] "
            f"with B={given[0]} (1 serves any) and H * W={given[1]}"
        )
    if radius < 0:
        raise ValueError(f"lookup: radius={radius}, must be 0 or more")
    given_centres, centres = centres, centres.float()
    source, levels = (
        (None, correlation.levels) if isinstance(correlation, Volume) else (correlation.source, correlation.targets)
    )
    # Kernels have no gradients
    if torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (centres, source, *levels)
    ):
        if all(tensor.dtype == torch.float64 for tensor in (given_centres, *levels)):
            centres = given_centres  # derivatives are as exact as the inputs
        return (
            reference.from_volume(levels, centres, radius)
            if source is None
            else reference.on_demand(source, levels, centres, radius)
        )
    found: Tensor = op.lookup(levels, source, centres, radius)
    return found


def warm_up(device: torch.device, dtype: torch.dtype) -> None:
    """Load and compile the look-up kernels for this device and feature type, so that no frame waits for it."""
    features = torch.zeros(1, 1, 2, 2, device=device, dtype=dtype)
    with torch.no_grad():
        for budget in (BUDGET, 0):
            lookup(
                correlate(features, features, levels=1, budget=budget),
                torch.zeros(1, 2, 2, 2, device=device, dtype=torch.float32),
                4,
            )


def _facts(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {tensor.dtype}"
