"""FlowFormer: an optical-flow transformer with attention over cost volumes."""

from vsvfi.models.flow.flowformer.network import FlowFormer, FlowFormerFeatures

__all__ = ["FlowFormer", "FlowFormerFeatures"]
