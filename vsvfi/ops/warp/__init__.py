"""Backward warping: sample an image where a flow points to.

A single implementation runs on every device.
"""

from vsvfi.ops.warp.reference import backward_warp, backward_warp_at, resize_bilinear

__all__ = ["backward_warp", "backward_warp_at", "resize_bilinear"]
