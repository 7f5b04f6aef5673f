"""Backward warping: sample an image where a flow points to.

One implementation runs everywhere, so there is no choice of backend here.
"""

from vsvfi.ops.warp.reference import backward_warp, backward_warp_at, resize_bilinear

__all__ = ["backward_warp", "backward_warp_at", "resize_bilinear"]
