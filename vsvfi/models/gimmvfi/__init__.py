"""GIMM-VFI: frame interpolation by an implicit model of motion over time."""
