"""FlowFormer: optical flow by attention over cost volumes."""

from vsvfi.models.flow.flowformer.network import FlowFormer, FlowFormerFeatures

__all__ = ["FlowFormer", "FlowFormerFeatures"]
