"""GIMM-VFI: frame interpolation with an implicit model of motion over time."""
