"""Forward warping ("splatting"): move each source pixel by its displacement, and average pixels that coincide.

Checks the arguments and calls the torch operator `vsvfi::splat` (`op`). The definition is `reference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from vsvfi.ops.splat import op, reference

type Kind = Literal["average", "linear", "softmax"]


@overload
def splat(
    values: Tensor, displacement: Tensor, *, kind: Kind = "average", importance: Tensor | None = None
) -> Tensor: ...
@overload
def splat(
    values: Sequence[Tensor], displacement: Tensor, *, kind: Kind = "average", importance: Tensor | None = None
) -> list[Tensor]: ...
def splat(
    values: Tensor | Sequence[Tensor],
    displacement: Tensor,
    *,
    kind: Kind = "average",
    importance: Tensor | None = None,
) -> Tensor | list[Tensor]:
    """Forward warp by averaging the source pixels that reach each target pixel.

    The result is A / D, with A = sum of b * w * value and D = sum of b * w over the source pixels that reach a target.
    The source pixel at (x, y) reaches the four neighbours of (x + displacement_x, y + displacement_y) with bilinear
    weights b; neighbours outside the image are dropped individually. w is 1 ("average"), the importance ("linear") or
    exp(importance) ("softmax"). For "softmax", the largest importance of an image is subtracted first, so a source more
    than 103 below it has no weight. Where D is exactly 0 the result is 0; there is no epsilon, so even a tiny D gives
    the full value. Source pixels with a displacement or importance that is not finite are ignored. Coordinates and both
    sums are float32 for any type. Several values with the same displacement are splatted in one pass.

    Args:
        values: one tensor or several, [B, C, H, W] or [1, C, H, W] (shared by the whole batch), any floating type.
        displacement: [B, 2, H, W] in pixels, x then y.
        kind: how the importance is used; see above.
        importance: [B, 1, H, W] or [1, 1, H, W]; only for "linear" and "softmax".

    Returns:
        For each of `values` a tensor [B, C, H, W] of its own type.

    Raises:
        ValueError: shapes do not match, the kind is unknown, or the importance is missing or not used by the kind.
    """
    parts = [values] if isinstance(values, Tensor) else list(values)
    _check(parts, displacement, kind, importance)
    weight = reference.weights(kind, importance)
    if torch.is_grad_enabled() and any(
        tensor.requires_grad and tensor.dtype == torch.float64 for tensor in (displacement, *parts)
    ):
        *results, _ = reference.splat_sums(parts, displacement, weight)  # whose derivatives are as exact as its inputs
    else:
        *results, _ = op.splat(parts, displacement, weight)
    return results[0] if isinstance(values, Tensor) else results


def warm_up(device: torch.device, calls: Sequence[Sequence[tuple[int, torch.dtype]]], kind: Kind = "average") -> None:
    """Load and compile the splatting kernels for this device, so that no frame waits for it.

    Args:
        device: of the values.
        calls: channels and type of the values of each expected call; CPU code is compiled for them.
        kind: of these calls.
    """
    displacement = torch.zeros(1, 2, 2, 2, device=device, dtype=torch.float32)
    importance = None if kind == "average" else displacement[:, :1]
    with torch.no_grad():
        for call in calls:
            values = [torch.zeros(1, channels, 2, 2, device=device, dtype=dtype) for channels, dtype in call]
            splat(values, displacement, kind=kind, importance=importance)


def _check(values: Sequence[Tensor], displacement: Tensor, kind: str, importance: Tensor | None) -> None:
    """Check the arguments of `splat`.

    Raises:
        ValueError: see `splat`.
    """
    if kind not in ("average", "linear", "softmax"):
        raise ValueError(f"splat: kind={kind!r}, must be 'average', 'linear' or 'softmax'")
    if (importance is None) != (kind == "average"):
        raise ValueError(
            f"splat: importance={'None' if importance is None else tuple(importance.shape)}, kind={kind!r} takes "
            f"{'none' if importance is not None else 'one'}"
        )
    if displacement.dim() != 4 or displacement.shape[1] != 2:
        raise ValueError(f"splat: displacement={tuple(displacement.shape)}, must be [B, 2, H, W]")
    if not values:
        raise ValueError("splat: values=[], must hold at least one tensor")
    batch, _, height, width = displacement.shape
    for value in values:
        if value.dim() != 4 or value.shape[0] not in (1, batch) or value.shape[2:] != displacement.shape[2:]:
            raise ValueError(
                f"splat: values={tuple(value.shape)}, "
                f"must be [{batch} or 1, C, {height}, {width}] like the displacement"
            )
    if importance is not None and (
        importance.dim() != 4 or importance.shape[0] not in (1, batch) or importance.shape[1:] != (1, height, width)
    ):
        raise ValueError(f"splat: importance={tuple(importance.shape)}, must be [{batch} or 1, 1, {height}, {width}]")
