"""FlowFormer: optical flow by attention over cost volumes."""
