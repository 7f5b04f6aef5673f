"""Correlation of two feature maps.

A single implementation in torch runs on every device.
"""

from vsvfi.ops.correlation.reference import local_correlation

__all__ = ["local_correlation"]
