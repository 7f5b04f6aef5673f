"""Optical flow between two frames: estimators that are parts of a family and usable by themselves."""
