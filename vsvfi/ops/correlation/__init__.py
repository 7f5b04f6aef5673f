"""Correlation of two feature maps.

The local volume is a tensor expression that suits every device, so there is no choice of backend here.
"""

from vsvfi.ops.correlation.reference import local_correlation

__all__ = ["local_correlation"]
