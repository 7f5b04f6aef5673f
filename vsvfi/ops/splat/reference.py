"""The definition of splatting in plain torch: differentiable and deterministic on every device.

Scatter-add is slow on a CPU and unordered on a GPU. Instead, the (source, target) links are sorted by target, once for
all values that share a displacement, and every target gathers its sources in order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def weights(kind: str, importance: Tensor | None) -> Tensor | None:
    """Weights of the source pixels, [B or 1, 1, H, W] float32; None if all are equal.

    Pixels whose weight is not finite are ignored.
    """
    if importance is None:
        return None
    importance = importance.float()
    if kind == "linear":
        return importance
    finite = torch.isfinite(importance)
    largest = importance.detach().where(finite, -torch.inf).amax((1, 2, 3), keepdim=True)
    shifted = importance - largest  # exp() can no longer overflow
    return torch.exp(shifted.where(finite, 0)).where(finite, torch.nan)


def splat_sums(values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None) -> list[Tensor]:
    """Return A / D for each of `values`, then D, for checked arguments; see `vsvfi.ops.splat.splat`.

    Args:
        values: each [B or 1, C, H, W].
        displacement: [B, 2, H, W].
        weight: [B or 1, 1, H, W] float32, or None.

    Returns:
        Tensors [B, C, H, W], channels last in memory, each of its own type; D, [B, 1, H, W] float32, or
        float64 if everything is.
    """
    batch, _, height, width = displacement.shape
    shared = all(value.shape[0] == 1 for value in values)
    images = 1 if shared else batch
    # A row per source pixel with the channels of all values and a 1, so that one pass gives A and D.
    exact = all(tensor.dtype == torch.float64 for tensor in (*values, displacement))
    dtype = torch.float64 if exact else torch.float32
    columns = [value.to(dtype).expand(images, -1, -1, -1) for value in values]
    one = torch.ones((), dtype=dtype, device=displacement.device).expand(images, 1, height, width)
    rows = torch.cat([column.permute(0, 2, 3, 1) for column in (*columns, one)], 3).reshape(images * height * width, -1)
    source, starts, share = _links(displacement.to(dtype), None if weight is None else weight.to(dtype))
    if shared and batch > 1:
        source = source.remainder(height * width)
    sums, *_ = torch.embedding_bag(rows, source, starts, False, 0, False, share, False)  # mode 0 is a sum
    total = sums[:, -1:]
    averages = (sums[:, :-1] / torch.where(total == 0, 1.0, total)).reshape(batch, height, width, -1)
    parts = torch.split(averages, [value.shape[1] for value in values], 3)
    results = [part.contiguous().permute(0, 3, 1, 2).to(value.dtype) for part, value in zip(parts, values, strict=True)]
    return [*results, total.contiguous().reshape(batch, 1, height, width)]


def _links(displacement: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Links from sources to targets, sorted by target, with the start of each target and the links' weights.

    Returns:
        source [L] int64, numbered over batch, row and column; starts [BHW] int64; share [L] float32, bilinear weight
        times `weight`, never 0.
    """
    batch, _, height, width = displacement.shape
    device, count = displacement.device, batch * height * width
    index = torch.int32 if count < 2**31 - 2 * width else torch.int64
    x = displacement[:, 0] + torch.arange(width, dtype=torch.float32, device=device)  # [B, H, W]
    y = displacement[:, 1] + torch.arange(height, dtype=torch.float32, device=device)[:, None]
    left, top = x.detach().floor(), y.detach().floor()
    right_share, bottom_share = x - left, y - top
    left_share, top_share = 1 - right_share, 1 - bottom_share
    share = torch.stack(
        (left_share * top_share, right_share * top_share, left_share * bottom_share, right_share * bottom_share), -1
    )
    # Comparisons with NaN are false, so sources that are not finite reach no target.
    on_left, on_right = (left >= 0) & (left < width), (left >= -1) & (left < width - 1) & (right_share > 0)
    on_top, on_bottom = (top >= 0) & (top < height), (top >= -1) & (top < height - 1) & (bottom_share > 0)
    if weight is not None:
        share = share * weight[:, 0, :, :, None]
        counts = torch.isfinite(weight[:, 0]) & (weight[:, 0] != 0)
        on_top, on_bottom = on_top & counts, on_bottom & counts
    reached = torch.stack((on_left & on_top, on_right & on_top, on_left & on_bottom, on_right & on_bottom), -1)
    column, row = left.nan_to_num(0).clamp(-2, width).to(index), top.nan_to_num(0).clamp(-2, height).to(index)
    first = torch.arange(0, count, height * width, dtype=index, device=device).reshape(-1, 1, 1)
    target = (first + row * width + column)[..., None] + torch.tensor(
        (0, 1, width, width + 1), dtype=index, device=device
    )
    target = torch.where(reached, target, count).reshape(-1)
    order = target.sort(stable=True).indices
    ends = torch.bincount(target, minlength=count + 1)[:-1].cumsum(0)
    order = order[: int(ends[-1])]  # drop the links that reach no target
    starts = torch.cat((ends.new_zeros(1), ends[:-1]))
    return order >> 2, starts, share.reshape(-1)[order]
