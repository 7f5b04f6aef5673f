"""Deformable separable convolution: every output pixel is a sum of 5 x 5 samples of a picture, each taken where offsets
of its own point to.

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
    """D(y, x) = sum over i, j in 0..4 of v_i u_j m_k S(alpha_k + y + i - 1, beta_k + x + j - 1) with k = 5 i + j, all
    maps taken at (y, x).

    S samples the picture bilinearly, in coordinates of the picture continued by two copies of its edge on every side:
    (2, 2) is its upper left pixel, so the lattice of taps is centred one pixel up and left of (y, x). Outside the
    continued picture (a coordinate below 0, or at its last row or column and beyond) both neighbours are the border
    sample and each counts in full: the border counts twice, at corners four times (LDMVFI's kernel does so). A
    coordinate that is not a number makes its pixel not a number. Coordinates, products and sums are float32 under any
    type.

    Args:
        image: [B, C, H, W], or [1, C, H, W] shared by the whole batch; 1 to 4 channels, used in float32.
        vertical: v, [B, 5, h, w], by the tap's row.
        horizontal: u, [B, 5, h, w], by the tap's column.
        alpha: [B, 25, h, w], vertical offsets in pixels.
        beta: [B, 25, h, w], horizontal offsets.
        mask: m, [B, 25, h, w].
        origin: (row, column) of the picture that the maps' upper left corner belongs to, for a part of the result.

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
    """Load and compile what the operator needs on this device for maps of this type, so that no frame has to wait for
    it.
    """
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
