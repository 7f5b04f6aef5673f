"""Deformable separable convolution: each output pixel sums 5 x 5 image samples at individual offsets.

Checks the arguments and calls the torch operator `vsvfi::sepconv` (`op`). The definition is `reference`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vsvfi.ops.sepconv import op, reference

TAPS = 5
"""Taps along each axis."""


def sepconv(
    image: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    alpha: Tensor,
    beta: Tensor,
    mask: Tensor,
    *,
    origin: tuple[int, int] = (0, 0),
) -> Tensor:
    """Deformable separable convolution of an image with kernels and offsets for each output pixel.

    D(y, x) = sum over i, j in 0..4 of v_i u_j m_k S(alpha_k + y + i - 1, beta_k + x + j - 1) with k = 5 i + j, all maps
    taken at (y, x).

    S samples bilinearly, in coordinates of the image padded by replicating two pixels on every side: (2, 2) is the
    image's upper left pixel, so the grid of taps is centred one pixel up and left of (y, x). Outside the padded image
    (a coordinate below 0, or at its last row or column and beyond) both neighbours are the border sample, each with a
    weight of 1: the border counts twice, at corners four times (as in LDMVFI's kernel). A NaN coordinate makes the
    output pixel NaN. Coordinates, products and sums are float32 for any type.

    Args:
        image: [B, C, H, W], or [1, C, H, W] shared by the whole batch; 1 to 4 channels, used in float32.
        vertical: v, [B, 5, h, w], by the tap's row.
        horizontal: u, [B, 5, h, w], by the tap's column.
        alpha: [B, 25, h, w], vertical offsets in pixels.
        beta: [B, 25, h, w], horizontal offsets.
        mask: m, [B, 25, h, w].
        origin: (row, column) in the image of the maps' upper left corner, to compute a part of the result.

    Returns:
        [B, C, h, w] float32.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(image, {"vertical": vertical, "horizontal": horizontal, "alpha": alpha, "beta": beta, "mask": mask})
    maps = (vertical, horizontal, alpha, beta, mask)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (image, *maps)):
        return reference.sepconv(image, *maps, *origin)  # kernels have no gradients
    found: Tensor = op.sepconv(image, *maps, *origin)
    return found


def warm_up(device: torch.device, dtype: torch.dtype) -> None:
    """Load and compile the kernels for this device and type of maps, so that no frame waits for it."""
    few, many = (torch.zeros(1, count, 1, 1, device=device, dtype=dtype) for count in (TAPS, TAPS * TAPS))
    with torch.no_grad():
        sepconv(torch.zeros(1, 3, 1, 1, device=device, dtype=torch.float32), few, few, many, many, many)


def _check(image: Tensor, maps: dict[str, Tensor]) -> None:
    """Refuse shapes that do not fit.

    Raises:
        ValueError: see `sepconv`.
    """
    batch, (height, width) = maps["alpha"].shape[0], maps["alpha"].shape[-2:]
    if image.dim() != 4 or image.shape[0] not in (1, batch) or not 1 <= image.shape[1] <= 4 or 0 in image.shape[2:]:
        raise ValueError(f"sepconv: image={tuple(image.shape)}, must be [{batch} or 1, 1 to 4, H, W]")
    for name, values in maps.items():
        expected = (batch, TAPS if name in ("vertical", "horizontal") else TAPS * TAPS, height, width)
        if values.shape != expected:
            raise ValueError(
                f"sepconv: {name}={tuple(values.shape)}, must be {expected} beside alpha={tuple(maps['alpha'].shape)}"
            )
