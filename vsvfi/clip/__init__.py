"""The only package that imports vapoursynth: turns frame requests into work for the engine."""
