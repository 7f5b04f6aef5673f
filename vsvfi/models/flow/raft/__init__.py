"""RAFT: recurrent all-pairs field transforms for optical flow."""

from vsvfi.models.flow.raft.network import RAFT, RaftFeatures

__all__ = ["RAFT", "RaftFeatures"]
